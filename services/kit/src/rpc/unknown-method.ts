import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { http2ServersOf } from "./half-open.ts";
import { notServed } from "./library-refusal.ts";
import { grpcFailure } from "./wire-error.ts";

type StreamListener = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  ...rest: readonly unknown[]
) => void;

/**
 * Refuses a call of a method that is not there with a reason; grpc-js refuses it by itself, with a text alone. A stream that
 * was reset with what it came in is passed over.
 *
 * Returns for how many HTTP/2 servers, for a test to notice a version that names their parts otherwise.
 */
export function refuseUnknownMethods(server: Server): number {
  const handlers: unknown = Reflect.get(server, "handlers");
  if (!(handlers instanceof Map)) return 0;
  const servers = http2ServersOf(server);
  for (const one of servers) {
    const listeners = one.listeners("stream") as StreamListener[];
    one.removeAllListeners("stream");
    const onStream: StreamListener = (stream, headers, ...rest) => {
      if (stream.destroyed || stream.closed) return;
      const isGrpc = headers["content-type"]?.startsWith("application/grpc") === true;
      if (isGrpc && !handlers.has(headers[":path"])) refuse(stream, headers[":path"] ?? "");
      else for (const listener of listeners) listener.call(one, stream, headers, ...rest);
    };
    one.on("stream", onStream);
  }
  return servers.length;
}

function refuse(stream: ServerHttp2Stream, path: string): void {
  stream.on("error", () => {});
  const { code, details, metadata } = grpcFailure(notServed(path));
  stream.respond(
    {
      ":status": 200,
      "content-type": "application/grpc+proto",
      "grpc-status": code,
      "grpc-message": encodeURI(details),
      ...metadata.toHttp2Headers(),
    },
    { endStream: true },
  );
  // What still comes of the request is read and forgotten.
  stream.resume();
}
