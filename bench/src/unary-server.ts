import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Server, ServerCredentials } from "@grpc/grpc-js";
import {
  ControlStreamService,
  IssueTicketRequestSchema,
  IssueTicketResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { openGrpcServer, serve } from "@qmtl/service-kit";
import type { BenchRow } from "./bench-row.ts";
import { stopwatchMs } from "./engine-stopwatch.ts";
import { limitRow, referenceRow } from "./limit-row.ts";
import { median } from "./samples.ts";

export interface UnaryServerOptions {
  /** Calls per sample. @default 2000 */
  calls?: number;
  /** @default 7 */
  samples?: number;
}

const path = `/${ControlStreamService.typeName}/IssueTicket`;
const answer = { ticket: "t".repeat(1000), sessionId: "s" };
const inFlight = 64;
const bytesOf = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const asIs = (bytes: Buffer): Buffer => bytes;

/**
 * Unary calls with an answer of 1000 bytes, 64 in flight: the server (validation, principal, deadlines, metrics of
 * calls) against a bare grpc-js server that decodes and encodes the same messages. Client and server share the process,
 * and the client is the same for both.
 */
export async function unaryServerBench(options: UnaryServerOptions = {}): Promise<BenchRow[]> {
  const { calls = 2_000, samples = 7 } = options;
  await using server = await openGrpcServer({
    services: [serve(ControlStreamService, { issueTicket: async () => answer })],
  });
  const bare = await openBareServer();
  const clients = { server: clientOf(server.port), bare: clientOf(bare.port) };
  const wall: Record<keyof typeof clients, number[]> = { server: [], bare: [] };
  const cpu: Record<keyof typeof clients, number[]> = { server: [], bare: [] };
  try {
    for (let sample = -1; sample < samples; sample++) {
      for (const name of ["bare", "server"] as const) {
        const start = stopwatchMs();
        const before = process.cpuUsage();
        await callMany(clients[name], calls);
        const { user, system } = process.cpuUsage(before);
        if (sample < 0) continue;
        wall[name].push((stopwatchMs() - start) / calls);
        cpu[name].push((user + system) / calls);
      }
    }
  } finally {
    for (const client of Object.values(clients)) client.close();
    bare.server.forceShutdown();
  }
  const cpuRatio = median(cpu.server) / median(cpu.bare);
  const wallRatio = median(wall.server) / median(wall.bare);
  return [
    referenceRow("server/unary-bare-rate", 1e3 / median(wall.bare), "calls/s", samples),
    referenceRow("server/unary-bare-cpu", median(cpu.bare), "µs/call", samples),
    limitRow("server/unary-time", wallRatio, "× bare grpc-js", samples, 1.5),
    limitRow("server/unary-cpu", cpuRatio, "× bare grpc-js", samples, 1.5),
  ];
}

function clientOf(port: number): Client {
  return new Client(`127.0.0.1:${port}`, credentials.createInsecure());
}

async function openBareServer(): Promise<{ server: Server; port: number }> {
  const server = new Server();
  const method = {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  } as const;
  server.addService(
    { issueTicket: method },
    {
      issueTicket: (
        call: { request: Buffer },
        reply: (failure: null, answer: Buffer) => void,
      ): void => {
        fromBinary(IssueTicketRequestSchema, call.request);
        const message = create(IssueTicketResponseSchema, answer);
        reply(null, bytesOf(toBinary(IssueTicketResponseSchema, message)));
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (failure, bound) => {
      if (failure === null) resolve(bound);
      else reject(failure);
    });
  });
  return { server, port };
}

async function callMany(client: Client, calls: number): Promise<void> {
  const request = create(IssueTicketRequestSchema, {
    worldId: "w1",
    strategyIds: ["s-1"],
    rights: [TicketRight.OBSERVE],
  });
  const bytes = bytesOf(toBinary(IssueTicketRequestSchema, request));
  let left = calls;
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, asIs, asIs, bytes, (failure) => {
        if (failure === null) resolve();
        else reject(failure);
      });
    });
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await one();
    }
  };
  await Promise.all(Array.from({ length: Math.min(inFlight, calls) }, lane));
}
