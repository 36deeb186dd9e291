import { spawn } from "node:child_process";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { ConnectError } from "@connectrpc/connect";
import { errorFromJsonBytes } from "@connectrpc/connect/protocol-connect";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { qmtlErrorFrom } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { openGrpcServer } from "../grpc-server.ts";
import { serve } from "../handlers.ts";
import { openHttpServer } from "../http-server.ts";
import { createPrincipalCheck } from "../principal.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { waitUntil } from "../testing/wait-until.ts";

const services = () => [serve(GatewayService, { getSubmission: async () => ({}) })];
const PATH = "/qmtl.gateway.v1.GatewayService/GetSubmission";

/** Runs a script of an attacker; resolves to what it printed. */
function attack(name: string, ...args: readonly (string | number)[]): Promise<unknown> {
  const script = fileURLToPath(new URL(name, import.meta.url));
  const child = spawn(process.execPath, [script, ...args.map(String)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  return new Promise((resolve, reject) => {
    child.once("close", (code) => {
      if (code === 0) resolve(JSON.parse(output));
      else reject(new Error(`the attack ended with ${code}`));
    });
  });
}

/** An HTTP/1.1 request of which only a part is sent; collects what is answered. */
function sendPart(port: number, length: number, part: string) {
  const socket = connect({ host: "127.0.0.1", port });
  const heard = { text: "", isClosed: false };
  socket.setEncoding("utf8");
  socket.on("error", () => {});
  socket.on("data", (text: string) => {
    heard.text += text;
  });
  socket.on("close", () => {
    heard.isClosed = true;
  });
  socket.write(
    `POST ${PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n${part}`,
  );
  return { heard, close: () => socket.destroy() };
}

function refusalIn(body: string) {
  const bytes = Buffer.from(body);
  const { reason, retryAfterMs } = qmtlErrorFrom(
    errorFromJsonBytes(bytes, undefined, new ConnectError("none")),
  );
  return { reason, retryAfterMs };
}

const bodyOf = (answer: string) => answer.slice(answer.indexOf("\r\n\r\n") + 4);

test("300 bodies of 1 MB that stop before their end take a bounded memory at the web port: the largest are refused", async () => {
  await using server = await openHttpServer({ services: services() });
  const before = process.memoryUsage();
  let peakBytes = 0;
  const timer = setInterval(() => {
    const { arrayBuffers, heapUsed } = process.memoryUsage();
    const used = arrayBuffers + heapUsed - before.arrayBuffers - before.heapUsed;
    peakBytes = Math.max(peakBytes, used);
  }, 5);

  const statuses = await attack("./unfinished-bodies.child.ts", server.port, 300, 40);

  clearInterval(timer);
  expect(statuses).toEqual({ 429: 40 });
  expect(peakBytes).toBeLessThan(400 * 1024 * 1024);
}, 60_000);

test("a body over HTTP/1.1 that is not there whole after 30 s is refused with a reason, and its connection closed", async () => {
  const clock = new ManualClock();
  await using server = await openHttpServer({ services: services(), clock });
  const { heard, close } = sendPart(server.port, 100, "{");
  await waitUntil(() => clock.timersPending > 0, { what: "the request began" });

  clock.advance(29_000);
  await new Promise((resolve) => setImmediate(resolve));
  expect(heard.text).toBe("");
  clock.advance(6_000);
  await waitUntil(() => heard.isClosed, { what: "the connection was closed" });

  close();
  expect(heard.text).toMatch(/^HTTP\/1\.1 429 /);
  expect(refusalIn(bodyOf(heard.text))).toEqual({
    reason: "TOO_MANY_REQUESTS",
    retryAfterMs: 1_000,
  });
});

test("a body over HTTP/2 that is not there whole after 30 s is refused, and its stream ended; the connection goes on", async () => {
  const clock = new ManualClock();
  await using server = await openHttpServer({ services: services(), clock });
  const session = connectHttp2(`http://127.0.0.1:${server.port}`);
  const headers = { ":method": "POST", ":path": PATH, "content-type": "application/json" };
  const stream = session.request(headers, { endStream: false });
  let text = "";
  let isClosed = false;
  stream.setEncoding("utf8").on("data", (more: string) => {
    text += more;
  });
  stream.on("close", () => {
    isClosed = true;
  });
  stream.write("{");
  await waitUntil(() => clock.timersPending > 0, { what: "the request began" });

  clock.advance(35_000);
  await waitUntil(() => isClosed, { what: "the stream was ended" });

  const again = session.request(headers);
  again.end('{"submissionId":"a"}');
  const status = await new Promise((resolve) => {
    again.once("response", (answer) => resolve(answer[":status"]));
  });
  session.destroy();
  expect(refusalIn(text).reason).toBe("TOO_MANY_REQUESTS");
  expect(status).toBe(200);
});

test("who has no key is refused before the body is there", async () => {
  const principalOf = createPrincipalCheck({ keys: [{ key: "k", name: "a", role: "owner" }] });
  await using server = await openHttpServer({ services: services(), principalOf });
  const { heard, close } = sendPart(server.port, 1_000_000, "");

  await waitUntil(() => heard.text.endsWith("}"), { what: "it was answered" });

  close();
  expect(heard.text).toMatch(/^HTTP\/1\.1 401 /);
  expect(refusalIn(bodyOf(heard.text)).reason).toBe("PRINCIPAL_UNKNOWN");
});

test("streams that are begun and reset at once cost no more at the web port than at the gRPC port", async () => {
  await using web = await openHttpServer({ services: services() });
  await using grpc = await openGrpcServer({ services: services() });
  const cost = async (port: number, contentType: string) => {
    const before = process.threadCpuUsage();
    await attack("./rapid-reset.child.ts", port, contentType, 10);
    const { user, system } = process.threadCpuUsage(before);
    return (user + system) / 1_000;
  };
  await cost(grpc.port, "application/grpc");

  const grpcMs = await cost(grpc.port, "application/grpc");
  const webMs = await cost(web.port, "application/json");

  // It once was six times as much.
  expect(webMs).toBeLessThan(2 * grpcMs + 200);
}, 60_000);
