import type { EventEmitter } from "node:events";
import type { ServerHttp2Session } from "node:http2";
import type { Server } from "@grpc/grpc-js";

/** A connection that made no request this long after it was opened is closed, milliseconds. */
export const FIRST_REQUEST_MS_MAX = 10_000;

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

/**
 * The same for a server of grpc-js, which does not give its sessions away: its HTTP/2 servers are looked up by the name of
 * the field that holds them. Returns how many were found, for a test to notice a version that names it otherwise.
 */
export function closeUnusedSessions(server: Server): number {
  const found: unknown = Reflect.get(server, "http2Servers");
  if (!(found instanceof Map)) return 0;
  let servers = 0;
  for (const one of found.keys()) {
    if (!isEmitter(one)) continue;
    one.on("session", closeUnlessUsed);
    servers += 1;
  }
  return servers;
}

function isEmitter(value: unknown): value is EventEmitter {
  return typeof value === "object" && value !== null && "on" in value;
}
