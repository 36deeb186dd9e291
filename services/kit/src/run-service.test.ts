import { connect, type Socket } from "node:net";
import { Code } from "@connectrpc/connect";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import {
  PlanRebalanceRequestSchema,
  RebalancingService,
} from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { connectTo, hasSchemaVersion, QmtlError } from "@qmtl/sdk/rpc";
import { describe, expect, test } from "vitest";
import { capabilitiesOf } from "./capabilities.ts";
import { serve } from "./handlers.ts";
import { createPrincipalCheck } from "./principal.ts";
import type { TicketCheck } from "./rpc/call-access.ts";
import { runService } from "./run-service.ts";
import { waitUntil } from "./testing/wait-until.ts";

const services = [
  serve(GatewayService, {
    getSubmission: async (_, { principal }) => ({ submission: { stateReason: principal.name } }),
  }),
];

/** Every ticket is that of a session. */
const checkTicket: TicketCheck = (sessionId) => ({
  sessionId,
  worldId: "w",
  strategyIds: [],
  sources: [],
  rights: ["compute"],
});

async function refusalOf(work: Promise<unknown>): Promise<QmtlError> {
  const failure = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (failure instanceof QmtlError) return failure;
  throw new Error("expected a QmtlError", { cause: failure });
}

describe("a running service", () => {
  test("serves on both servers, then drains, then stops; stopping twice is once", async () => {
    const seen: string[] = [];
    const running = await runService({
      name: "demo",
      services,
      web: { port: 0 },
      onDrain: () => {
        seen.push("let go");
      },
      onStop: async () => {
        seen.push(running.state);
      },
    });
    expect(running.state).toBe("serving");
    const answer = await fetch(
      `http://127.0.0.1:${running.webPort}/qmtl.gateway.v1.GatewayService/GetSubmission`,
      {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"submissionId":"a"}',
      },
    );
    expect(await answer.json()).toMatchObject({ submission: { stateReason: "local" } });

    await Promise.all([running.stop(), running.stop(), running.stopped]);

    expect(running.state).toBe("stopped");
    expect(seen).toEqual(["let go", "draining"]);
  });

  test("a stop ends what only waits for a change at once, and lets the caller know", async () => {
    const signals: AbortSignal[] = [];
    const queues = serve(QueueService, {
      acquireLeases: (_, { signal }) => {
        signals.push(signal);
        return new Promise(() => {});
      },
    });
    const running = await runService({
      ...{ name: "demo", services: [queues], checkTicket },
      web: { port: 0 },
    });
    const key = `blake3:${"0".repeat(64)}`;
    const request = { ticket: "t", keys: [{ computeKey: key, build: "b" }], wait: "30s" };
    await using connection = connectTo(`http://127.0.0.1:${running.port}`);
    const overGrpc = refusalOf(
      connection
        .client(QueueService)
        .acquireLeases({ ...request, wait: { seconds: 30n } }, { timeoutMs: 60_000 }),
    );
    const overWeb = fetch(
      `http://127.0.0.1:${running.webPort}/qmtl.dagmanager.v1.QueueService/AcquireLeases`,
      {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(request),
      },
    );
    await waitUntil(() => signals.length === 2);

    const began = performance.now();
    await running.stop();
    const tookMs = performance.now() - began;

    expect(tookMs).toBeLessThan(2_500);
    expect(signals.map((signal) => signal.reason)).toMatchObject([
      { reason: "DRAINING" },
      { reason: "DRAINING" },
    ]);
    expect(await (await overWeb).json()).toMatchObject({ code: "unavailable" });
    expect((await overGrpc).code).toBe(Code.Unavailable);
  });

  test("a stop waits for a call that works, even one whose contract lets it wait", async () => {
    let isAsked = false;
    let finish = () => {};
    const queues = serve(QueueService, {
      acquireLeases: ({ wait }, { signal }) => {
        isAsked = wait === undefined;
        return new Promise((resolve, reject) => {
          finish = () => (signal.aborted ? reject(signal.reason) : resolve({ leases: [] }));
        });
      },
    });
    const running = await runService({ name: "demo", services: [queues], checkTicket });
    await using connection = connectTo(`http://127.0.0.1:${running.port}`);
    const key = `blake3:${"0".repeat(64)}`;
    const answer = connection
      .client(QueueService)
      .acquireLeases({ ticket: "t", keys: [{ computeKey: key, build: "b" }] });
    await waitUntil(() => isAsked);

    const stopped = running.stop();
    finish();

    expect(await answer).toMatchObject({ leases: [] });
    await stopped;
  });

  test("work that does not stop is abandoned after the bound", async () => {
    const running = await runService({
      name: "demo",
      services,
      onStop: () => new Promise(() => {}),
      onStopMsMax: 50,
    });
    await running.stop();
    expect(running.state).toBe("stopped");
  });

  test("work that learns at the bound what it could not finish makes the stop reject with it, once the servers are closed", async () => {
    const running = await runService({
      name: "demo",
      services,
      onStop: async (limit) => {
        await new Promise((resolve) => limit.addEventListener("abort", resolve));
        throw new Error("one thing is lost");
      },
      onStopMsMax: 50,
    });

    await expect(running.stop()).rejects.toThrow("one thing is lost");
    expect(running.state).toBe("stopped");
  });

  test("a web port in use is named, and the gRPC port is given back", async () => {
    await using first = await runService({ name: "first", services, web: { port: 0 } });
    const port = 0;

    const error = await refusalOf(
      runService({ name: "second", services, port, web: { port: first.webPort! } }),
    );

    expect(error.reason).toBe("PORT_TAKEN");
    expect(error.message).toContain(String(first.webPort));
  });

  test.each([
    [{}, "TLS and keys"],
    [{ hasKeys: true }, "TLS"],
    [{ tls: { cert: Buffer.alloc(0), key: Buffer.alloc(0) } }, "keys"],
  ])("an address other machines reach is refused with %o", async (options, missing) => {
    const error = await refusalOf(
      runService({ name: "demo", services, host: "0.0.0.0", ...options }),
    );
    expect(error.reason).toBe("CONFIG_INVALID");
    expect(error.message).toContain(`needs ${missing}`);
  });

  test("SIGTERM stops it", async () => {
    const running = await runService({ name: "demo", services, handleSignals: true });
    process.emit("SIGTERM", "SIGTERM");
    await running.stopped;
    expect(running.state).toBe("stopped");
    expect(process.listenerCount("SIGTERM")).toBe(0);
  });

  test("a key is asked for at both servers and at the connection's client", async () => {
    const principalOf = createPrincipalCheck({
      keys: [{ key: "k", name: "ann", role: "operator" }],
    });
    await using running = await runService({ name: "demo", services, principalOf, hasKeys: true });
    const url = `http://127.0.0.1:${running.port}`;
    await using stranger = connectTo(url);
    await using ann = connectTo(url, { apiKey: "k" });

    const error = await refusalOf(
      stranger.client(GatewayService).getSubmission({ submissionId: "a" }),
    );

    expect([error.reason, error.code]).toEqual(["PRINCIPAL_UNKNOWN", Code.Unauthenticated]);
    const answer = await ann.client(GatewayService).getSubmission({ submissionId: "a" });
    expect(answer.submission?.stateReason).toBe("ann");
  });
});

describe("the HTTP server against foreign pages", () => {
  const post = (port: number | undefined, headers: string) =>
    new Promise<string>((resolve, reject) => {
      const body = '{"submissionId":"a"}';
      const socket: Socket = connect(port ?? 0, "127.0.0.1");
      let text = "";
      socket.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        socket.end();
      });
      socket.on("close", () => resolve(text.split("\r\n")[0] ?? ""));
      socket.on("error", reject);
      socket.write(
        `POST /qmtl.gateway.v1.GatewayService/GetSubmission HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n${headers}\r\n\r\n${body}`,
      );
    });

  test("a name that resolves to us, or a page of another origin, gets nothing without keys", async () => {
    await using running = await runService({
      name: "demo",
      services,
      web: { port: 0, origins: ["http://ok.test"] },
    });
    const { webPort } = running;

    expect(await post(webPort, `host: 127.0.0.1:${webPort}`)).toContain("200");
    expect(await post(webPort, "host: evil.test")).toContain("421");
    expect(await post(webPort, `host: localhost:${webPort}\r\norigin: http://evil.test`)).toContain(
      "403",
    );
    expect(await post(webPort, `host: localhost:${webPort}\r\norigin: http://ok.test`)).toContain(
      "200",
    );
    expect(
      await post(webPort, `host: localhost:${webPort}\r\norigin: http://localhost:${webPort}`),
    ).toContain("200");
  });

  test("a preflight of an allowed origin is answered", async () => {
    await using running = await runService({
      name: "demo",
      services,
      web: { port: 0, origins: ["http://ok.test"] },
    });
    const answer = await fetch(`http://127.0.0.1:${running.webPort}/x`, {
      method: "OPTIONS",
      headers: { origin: "http://ok.test", "access-control-request-method": "POST" },
    });
    expect(answer.status).toBe(204);
    expect(answer.headers.get("access-control-allow-origin")).toBe("http://ok.test");
    expect(answer.headers.get("access-control-allow-headers")).toContain("authorization");
  });
});

test("capabilities name ranges, flags and every method whose handler was left out", () => {
  const all = [...services, serve(RebalancingService, { planRebalance: async () => ({}) })];
  const capabilities = capabilitiesOf({
    services: all,
    schemaRange: (service) =>
      service === RebalancingService ? { min: 1, max: 2 } : { min: 1, max: 1 },
    flags: ["test_mode", "compat_rebalance_v2"],
    serverVersion: "0.1.0",
  });

  expect(capabilities.contracts).toEqual([
    { contract: "qmtl.gateway.v1.GatewayService", supported: { min: 1, max: 1 } },
    { contract: "qmtl.world.v1.RebalancingService", supported: { min: 1, max: 2 } },
  ]);
  expect(capabilities.flags).toEqual(["compat_rebalance_v2", "test_mode"]);
  expect(capabilities.planned).toContain("qmtl.gateway.v1.GatewayService.SubmitStrategy");
  expect(capabilities.planned).not.toContain("qmtl.gateway.v1.GatewayService.GetSubmission");
  expect(hasSchemaVersion(PlanRebalanceRequestSchema)).toBe(true);
});
