import type { EventEmitter } from "node:events";
import type { ServerHttp2Session } from "node:http2";
import type { Server } from "@grpc/grpc-js";

/** A connection that made no request this long after it was opened is closed, milliseconds. */
const FIRST_REQUEST_MS_MAX = 10_000;

/**
 * Closes an HTTP/2 connection that begins and then says nothing: each one costs memory and a socket, and asks for no key.
 * Once it has made a request, keepalive looks after it.
 */
export function closeUnlessUsed(session: ServerHttp2Session): void {
  const timer = setTimeout(() => session.destroy(), FIRST_REQUEST_MS_MAX);
  timer.unref();
  const settle = () => clearTimeout(timer);
  session.once("stream", settle);
  session.once("close", settle);
}

/** The same for a server of grpc-js. Returns for how many HTTP/2 servers, for a test to notice a version that names them otherwise. */
export function closeUnusedSessions(server: Server): number {
  const servers = http2ServersOf(server);
  for (const one of servers) one.on("session", closeUnlessUsed);
  return servers.length;
}

/** The HTTP/2 servers of grpc-js, which does not give them away: looked up by the name of the field that holds them. */
export function http2ServersOf(server: Server): readonly EventEmitter[] {
  const found: unknown = Reflect.get(server, "http2Servers");
  return found instanceof Map ? [...found.keys()].filter(isEmitter) : [];
}

function isEmitter(value: unknown): value is EventEmitter {
  return typeof value === "object" && value !== null && "on" in value;
}
