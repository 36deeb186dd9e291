import type { EventEmitter } from "node:events";
import type { ServerHttp2Session } from "node:http2";
import type { Server } from "@grpc/grpc-js";

/** A connection that made no request this long after it was opened is closed, milliseconds. */
const FIRST_REQUEST_MS_MAX = 10_000;

/**
 * Closes an HTTP/2 connection that is opened and then makes no request: each costs memory and a socket, and needs no
 * key. After the first request keepalive watches over it.
 */
export function closeUnlessUsed(session: ServerHttp2Session): void {
  const timer = setTimeout(() => session.destroy(), FIRST_REQUEST_MS_MAX);
  timer.unref();
  const settle = () => clearTimeout(timer);
  session.once("stream", settle);
  session.once("close", settle);
}

/** The same for the sessions of a grpc-js server. Does nothing if its version names its HTTP/2 servers differently. */
export function closeUnusedSessions(server: Server): void {
  for (const one of http2ServersOf(server)) one.on("session", closeUnlessUsed);
}

/** The HTTP/2 servers of grpc-js, which does not expose them: looked up by the name of the field that holds them. */
export function http2ServersOf(server: Server): readonly EventEmitter[] {
  const found: unknown = Reflect.get(server, "http2Servers");
  return found instanceof Map ? [...found.keys()].filter(isEmitter) : [];
}

function isEmitter(value: unknown): value is EventEmitter {
  return typeof value === "object" && value !== null && "on" in value;
}
