import { connect, type IncomingHttpHeaders } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { SubmitStrategyRequestSchema } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ColumnKind } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";

/** Sends many large requests at once to a server; prints how many calls ended with which status. */
const [port = "", kind = "", count = "0"] = process.argv.slice(2);
const bytesWanted = 15 * 1024 * 1024;

const submission = (init: Parameters<typeof create<typeof SubmitStrategyRequestSchema>>[1]) =>
  toBinary(SubmitStrategyRequestSchema, create(SubmitStrategyRequestSchema, init));

const bodies: Record<string, () => Uint8Array> = {
  text: () => submission({ strategyName: "x".repeat(bytesWanted) }),
  names: () => submission({ worldIds: Array.from({ length: 1_500_000 }, (_, at) => `w${at}`) }),
  nodes: () => {
    const nodes = Array.from({ length: 300_000 }, (_, at) => ({
      nodeId: `n${at}`,
      nodeType: "x".repeat(40),
    }));
    return submission({ graph: { nodes } });
  },
  // Field 1000 is not known, and holds nothing.
  unknown: () => new Uint8Array(bytesWanted).map((_, at) => [0xc0, 0x3e, 0][at % 3] ?? 0),
  wanted: () => {
    const node = {
      nodeId: `blake3:${"0".repeat(64)}`,
      nodeType: "price",
      intervalSeconds: 60n,
      period: 1,
      paramsJson: `{"a":"${"x".repeat(60_000)}"}`,
      schemaCompatId: "f64:a",
      codeHash: "h",
      columns: [{ name: "a", kind: ColumnKind.F64 }],
    };
    const nodes = Array.from({ length: 250 }, () => node);
    return submission({ requestId: "r", strategyName: "s", graph: { nodes } });
  },
};

const body = Buffer.from(bodies[kind]?.() ?? new Uint8Array(bytesWanted));
const path = "/qmtl.gateway.v1.GatewayService/SubmitStrategy";
const endings = new Map<number, number>();
const ended = (code: number) => endings.set(code, (endings.get(code) ?? 0) + 1);

/** A whole request, on a connection of its own. */
const send = () =>
  new Promise<void>((resolve) => {
    const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
      "grpc.max_send_message_length": -1,
      "grpc.use_local_subchannel_pool": 1,
    });
    const pass = (bytes: Buffer) => bytes;
    client.makeUnaryRequest(path, pass, pass, body, new Metadata(), {}, (failure) => {
      ended(failure?.code ?? 0);
      client.close();
      resolve();
    });
  });

/** All but the last byte of a request, and then nothing; settles when the server ends the call. */
const stall = () =>
  new Promise<void>((resolve) => {
    const session = connect(`http://127.0.0.1:${port}`);
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
    });
    const end = (headers: IncomingHttpHeaders) => {
      if (headers["grpc-status"] === undefined) return;
      ended(Number(headers["grpc-status"]));
      session.destroy();
      resolve();
    };
    stream.on("response", end).on("trailers", end);
    stream.on("error", () => resolve()).resume();
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(body.length, 1);
    stream.write(Buffer.concat([prefix, body.subarray(0, -1)]));
  });

if (kind === "stalled") {
  // What is over the bound is refused; the others stay where they are.
  let overBound = Number(count) - Math.floor((256 * 1024 * 1024) / body.length);
  await new Promise<void>((resolve) => {
    for (let at = 0; at < Number(count); at += 1) {
      void stall().then(() => {
        overBound -= 1;
        if (overBound === 0) resolve();
      });
    }
  });
} else {
  await Promise.all(Array.from({ length: Number(count) }, send));
}
process.stdout.write(JSON.stringify({ bytes: body.length, endings: Object.fromEntries(endings) }));
process.exit(0);
