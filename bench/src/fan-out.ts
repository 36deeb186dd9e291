import { type ClientHttp2Session, connect, createServer, type ServerHttp2Stream } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  ControlStreamService,
  SubscribeRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { EncodedMessage, openGrpcServer, PushStream, serve } from "@qmtl/service-kit";
import { anyTicket } from "@qmtl/service-kit/testing";
import type { BenchRow } from "./bench-row.ts";
import { stopwatchMs } from "./engine-stopwatch.ts";
import { limitRow, referenceRow } from "./limit-row.ts";
import { median } from "./samples.ts";

export interface FanOutOptions {
  /** @default 100 */
  subscribers?: number;
  /** Events pushed at once, per sample. @default 20 */
  events?: number;
  /** @default 15 */
  samples?: number;
}

const path = `/${ControlStreamService.typeName}/Subscribe`;
const eventBytes = 600;
const prefixBytes = 5;

interface Source {
  readonly port: number;
  /** Hands one message to every subscriber. */
  push(message: Uint8Array): void;
  readonly subscribers: number;
  close(): Promise<void>;
}

/**
 * One event encoded once and sent to 100 subscribers: the gRPC server against bare HTTP/2 streams that carry the same
 * frames. The readers are the same bare HTTP/2 client for both, in this process.
 */
export async function fanOutBench(options: FanOutOptions = {}): Promise<BenchRow[]> {
  const { subscribers = 100, events = 20, samples = 15 } = options;
  const sources = { bare: await openBareSource(), server: await openServerSource() };
  const times: Record<keyof typeof sources, number[]> = { bare: [], server: [] };
  const readers = {
    bare: await readAll(sources.bare, subscribers),
    server: await readAll(sources.server, subscribers),
  };
  for (let sample = -2; sample < samples; sample++) {
    for (const name of ["bare", "server"] as const) {
      const message = new Uint8Array(eventBytes).fill(1);
      const expected = subscribers * events * (eventBytes + prefixBytes);
      const start = stopwatchMs();
      const arrived = readers[name].arrived(expected);
      for (let event = 0; event < events; event++) sources[name].push(message);
      await arrived;
      if (sample >= 0) times[name].push(stopwatchMs() - start);
    }
  }
  for (const reader of Object.values(readers)) reader.close();
  for (const source of Object.values(sources)) await source.close();
  const messages = subscribers * events;
  const bare = median(times.bare);
  return [
    referenceRow("fan-out/bare-http2", messages / bare, "messages/ms", samples),
    referenceRow("fan-out/server", messages / median(times.server), "messages/ms", samples),
    limitRow("fan-out/server-time", median(times.server) / bare, "× bare HTTP/2", samples, 2),
  ];
}

async function openServerSource(): Promise<Source> {
  const streams = new Set<PushStream<EncodedMessage>>();
  const server = await openGrpcServer({
    services: [
      serve(ControlStreamService, {
        subscribe: () => {
          const stream = new PushStream<EncodedMessage>({
            itemsMax: 1_024,
            onEnd: () => streams.delete(stream),
          });
          streams.add(stream);
          return stream;
        },
      }),
    ],
    checkTicket: anyTicket,
  });
  return {
    port: server.port,
    push: (message) => {
      const encoded = new EncodedMessage(message);
      for (const stream of streams) stream.push(encoded);
    },
    get subscribers() {
      return streams.size;
    },
    close: () => server.close(),
  };
}

async function openBareSource(): Promise<Source> {
  const streams = new Set<ServerHttp2Stream>();
  const server = createServer();
  server.on("stream", (stream) => {
    stream.respond({ ":status": 200 });
    streams.add(stream);
    stream.on("close", () => streams.delete(stream));
    stream.on("error", () => streams.delete(stream));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : 0,
    push: (message) => {
      for (const stream of streams) stream.write(frameOf(message));
    },
    get subscribers() {
      return streams.size;
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

interface Readers {
  /** Resolves once that many more bytes have arrived, over all streams. */
  arrived(bytes: number): Promise<void>;
  close(): void;
}

const streamsPerConnection = 25;

async function readAll(source: Source, subscribers: number): Promise<Readers> {
  const sessions: ClientHttp2Session[] = [];
  let bytes = 0;
  let wanted: { readonly bytes: number; resolve(): void } | undefined;
  const request = create(SubscribeRequestSchema, { ticket: "t" });
  const body = frameOf(toBinary(SubscribeRequestSchema, request));
  for (let at = 0; at < subscribers; at++) {
    if (at % streamsPerConnection === 0)
      sessions.push(
        connect(`http://127.0.0.1:${source.port}`, { settings: { enablePush: false } }),
      );
    const stream = sessions.at(-1)!.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc+proto",
      te: "trailers",
    });
    stream.on("error", () => {});
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (wanted !== undefined && bytes >= wanted.bytes) wanted.resolve();
    });
    stream.end(body);
  }
  while (source.subscribers < subscribers) await new Promise((resolve) => setTimeout(resolve, 5));
  return {
    arrived: (more) =>
      new Promise((resolve) => {
        wanted = { bytes: bytes + more, resolve };
      }),
    close: () => {
      for (const session of sessions) session.destroy();
    },
  };
}

/** A message as gRPC frames it: not compressed, four bytes of length. */
function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(prefixBytes + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, prefixBytes);
  return frame;
}
