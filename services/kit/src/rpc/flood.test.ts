import { spawn } from "node:child_process";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { Code } from "@connectrpc/connect";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { connectTo } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { openGrpcServer } from "../grpc-server.ts";
import { serve } from "../handlers.ts";
import { openHttpServer } from "../http-server.ts";
import { waitUntil } from "../testing/wait-until.ts";

const script = fileURLToPath(new URL("./flood.child.ts", import.meta.url));
const services = () => [
  serve(GatewayService, {
    submitStrategy: async () => ({}),
    getSubmission: async () => ({}),
  }),
];

/** What this process's own thread did meanwhile; of its own time, so that a busy machine does not count. */
function watchLoop() {
  let [longestMs, peakBytes] = [0, 0];
  const before = process.memoryUsage();
  const usedMs = () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1_000;
  };
  let last = usedMs();
  const timer = setInterval(() => {
    const now = usedMs();
    longestMs = Math.max(longestMs, now - last);
    last = now;
    const { arrayBuffers, heapUsed } = process.memoryUsage();
    peakBytes = Math.max(
      peakBytes,
      arrayBuffers + heapUsed - before.arrayBuffers - before.heapUsed,
    );
  }, 1);
  return () => {
    clearInterval(timer);
    return { longestMs, peakBytes };
  };
}

interface Flooded {
  readonly bytes: number;
  readonly endings: Readonly<Record<string, number>>;
}

function flood(port: number, kind: string, count: number): Promise<Flooded> {
  const args = [script, String(port), kind, String(count)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  return new Promise((resolve, reject) => {
    child.once("close", (code) => {
      if (code === 0) resolve(JSON.parse(output) as Flooded);
      else reject(new Error(`the flood ended with ${code}`));
    });
  });
}

test.each([
  ["a text of 15 MB", "text", Code.InvalidArgument],
  ["1.5 million names", "names", Code.InvalidArgument],
  ["300,000 nodes", "nodes", Code.InvalidArgument],
  ["5 million unknown fields", "unknown", Code.InvalidArgument],
  ["15 MB of texts that are wanted", "wanted", 0],
])(
  "20 requests at once of %s hold neither the event loop nor much memory",
  async (_, kind, code) => {
    await using server = await openGrpcServer({ services: services() });
    const connection = connectTo(`http://127.0.0.1:${server.port}`);
    const gateway = connection.client(GatewayService);
    await gateway.getSubmission({ submissionId: "warm" });
    const measured = watchLoop();

    const [{ bytes, endings }] = await Promise.all([
      flood(server.port, kind, 20),
      gateway.getSubmission({ submissionId: "small" }),
    ]);

    const { longestMs, peakBytes } = measured();
    connection.close();
    expect(bytes).toBeGreaterThan(10_000_000);
    // On connections of their own they do not fit in together: some are refused until there is room.
    const answered = endings[code] ?? 0;
    expect(answered).toBeGreaterThan(0);
    expect(answered + (endings[Code.ResourceExhausted] ?? 0)).toBe(20);
    expect(longestMs).toBeLessThan(200);
    expect(peakBytes).toBeLessThan(600 * 1024 * 1024);
  },
  120_000,
);

test("30 requests of 15 MB that stop before their end take a bounded memory: the largest are refused", async () => {
  await using server = await openGrpcServer({ services: services() });
  const measured = watchLoop();

  const { endings } = await flood(server.port, "stalled", 30);

  expect(Object.keys(endings)).toEqual([String(Code.ResourceExhausted)]);
  expect(endings[Code.ResourceExhausted]).toBeGreaterThanOrEqual(13);
  expect(measured().peakBytes).toBeLessThan(400 * 1024 * 1024);
}, 60_000);

test.each([
  ["gRPC", openGrpcServer],
  ["web", openHttpServer],
])(
  "300 connections that begin HTTP/2 and say no more are closed within 15 s at the %s port; one in use stays",
  async (_, open) => {
    await using server = await open({ services: services() });
    const connection = connectTo(`http://127.0.0.1:${server.port}`);
    const gateway = connection.client(GatewayService);
    await gateway.getSubmission({ submissionId: "before" });
    const beganMs = performance.now();
    let left = 0;
    const sockets = Array.from({ length: 300 }, (_, at) => {
      const socket = connect({ host: "127.0.0.1", port: server.port });
      left += 1;
      socket.on("error", () => {});
      socket.on("close", () => {
        left -= 1;
      });
      const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
      // Some send their settings, too, which is as far as a polite client goes.
      const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
      socket.write(at % 2 === 0 ? preface : Buffer.concat([Buffer.from(preface), settings]));
      socket.resume();
      return socket;
    });

    await waitUntil(() => left === 0, { what: "all were closed" });

    const tookMs = performance.now() - beganMs;
    const state = connection.transport.state();
    await gateway.getSubmission({ submissionId: "after" });
    connection.close();
    for (const socket of sockets) socket.destroy();
    expect(tookMs).toBeLessThan(15_000);
    expect(state).toBe("ready");
  },
  60_000,
);
