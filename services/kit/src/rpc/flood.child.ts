import { PublishRequestSchema } from "@qmtl/contracts/qmtl/data/v1/queue_data_pb";
import { SubmitStrategyRequestSchema } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { create, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata } from "@grpc/grpc-js";

/** Sends many large requests at once to a server; prints how many calls ended with which status. */
const [port = "", kind = "", count = "0"] = process.argv.slice(2);
const bytesWanted = 15 * 1024 * 1024;

const submission = (init: Parameters<typeof create<typeof SubmitStrategyRequestSchema>>[1]) =>
  toBinary(SubmitStrategyRequestSchema, create(SubmitStrategyRequestSchema, init));

const bodies: Record<string, () => Uint8Array> = {
  text: () => submission({ strategyName: "x".repeat(bytesWanted) }),
  names: () => submission({ worldIds: Array.from({ length: 1_500_000 }, (_, at) => `w${at}`) }),
  nodes: () => {
    const nodes = Array.from({ length: 300_000 }, (_, at) => ({ nodeId: `n${at}`, period: at }));
    return submission({ graph: { nodes } });
  },
  // Field 1000 is not known, and holds nothing.
  unknown: () => new Uint8Array(bytesWanted).map((_, at) => [0xc0, 0x3e, 0][at % 3] ?? 0),
  column: () => {
    const columns = [new Uint8Array(bytesWanted - 1_000)];
    return toBinary(
      PublishRequestSchema,
      create(PublishRequestSchema, { records: [{ columns, row: 1n }] }),
    );
  },
};

const body = Buffer.from(bodies[kind]?.() ?? new Uint8Array(0));
const path =
  kind === "column"
    ? "/qmtl.data.v1.QueueDataService/Publish"
    : "/qmtl.gateway.v1.GatewayService/SubmitStrategy";
const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
  "grpc.max_send_message_length": -1,
});
const endings = new Map<number, number>();
const one = () =>
  new Promise<void>((resolve) => {
    const pass = (bytes: Buffer) => bytes;
    client.makeUnaryRequest(path, pass, pass, body, new Metadata(), {}, (failure) => {
      const code = failure?.code ?? 0;
      endings.set(code, (endings.get(code) ?? 0) + 1);
      resolve();
    });
  });
await Promise.all(Array.from({ length: Number(count) }, one));
client.close();
console.log(JSON.stringify({ bytes: body.length, endings: Object.fromEntries(endings) }));
