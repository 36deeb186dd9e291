import { Code } from "@connectrpc/connect";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ColumnKind } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { clientOf, connectTo, dressTransport, QmtlError } from "@qmtl/sdk/rpc";
import { afterEach, expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import { openGrpcServer } from "../grpc-server.ts";
import { type CallContext, type Handlers, serve } from "../handlers.ts";
import { ManualClock } from "../testing/index.ts";
import { type LocalServer, LocalTransport } from "./local-transport.ts";
import type { ServerOptions } from "./server-setup.ts";

const opened: AsyncDisposableStack[] = [];
afterEach(async () => {
  for (const each of opened.splice(0)) await each.disposeAsync();
});

/** A client that calls the server of its own process. */
async function openLocal(
  handlers: Handlers<typeof GatewayService>,
  options: Partial<ServerOptions> = {},
  clock = systemClock,
) {
  const stack = new AsyncDisposableStack();
  opened.push(stack);
  const server = await openGrpcServer({ services: [serve(GatewayService, handlers)], ...options });
  stack.defer(() => server.close());
  const connection = connectTo(`http://127.0.0.1:${server.port}`);
  stack.defer(() => connection.close());
  const asked: string[] = [];
  const local: LocalServer = {
    unary(path) {
      asked.push(path);
      return server.local.unary(path);
    },
    serverStream(path) {
      asked.push(path);
      return server.local.serverStream(path);
    },
  };
  const transport = new LocalTransport(connection.transport, local, clock);
  const gateway = clientOf(GatewayService, dressTransport(transport, {}));
  return { server, gateway, asked, transport, connection: connection.transport };
}

const waiting = ({ signal }: CallContext) =>
  new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });

test("a unary call makes no connection, and neither side holds the other's message", async () => {
  const submission = { submissionId: "s1", stateReason: "queued" };
  const { gateway, connection } = await openLocal({ getSubmission: async () => ({ submission }) });

  const first = await gateway.getSubmission({ submissionId: "s1" });
  if (first.submission !== undefined) first.submission.stateReason = "changed by the caller";
  const second = await gateway.getSubmission({ submissionId: "s1" });

  expect(second.submission?.stateReason).toBe("queued");
  expect(connection.state()).toBe("idle");
});

test("a call that is answered too late is DEADLINE_EXCEEDED, and its handler is told", async () => {
  const clock = new ManualClock();
  const contexts: CallContext[] = [];
  const { gateway, server } = await openLocal(
    {
      getSubmission: (_, context) => {
        contexts.push(context);
        return waiting(context);
      },
    },
    {},
    clock,
  );

  const call = gateway.getSubmission({ submissionId: "s1" }, { timeoutMs: 5_000 });
  const failure = call.catch((reason: unknown) => reason);
  await Promise.resolve();
  clock.advance(5_000);

  expect(await failure).toMatchObject({ code: Code.DeadlineExceeded });
  expect(contexts[0]?.signal.aborted).toBe(true);
  expect(server.calls).toBe(0);
});

test("a request too large for one turn goes over the connection, which takes such in one by one", async () => {
  const { gateway, connection } = await openLocal({ submitStrategy: async () => ({}) });
  const node = {
    nodeId: `blake3:${"0".repeat(64)}`,
    nodeType: "price",
    intervalSeconds: 60n,
    period: 1,
    paramsJson: `{${"x".repeat(50_000)}`,
    schemaCompatId: "f64:a",
    codeHash: "h",
    columns: [{ name: "a", kind: ColumnKind.F64 }],
  };
  const graph = { nodes: [node, node, node, node] };

  await gateway.submitStrategy({ requestId: "r", strategyName: "s", graph });

  expect(connection.state()).toBe("ready");
});

test("a server that drains is asked over the connection, which says so", async () => {
  const { gateway, server, asked } = await openLocal({ getSubmission: async () => ({}) });
  await server.drain();

  await expect(gateway.getSubmission({ submissionId: "s1" })).rejects.toMatchObject({
    reason: "DRAINING",
  });
  expect(asked).toHaveLength(1);
});

test("an outage is asked again over the connection where a call may arrive twice", async () => {
  let calls = 0;
  const { gateway } = await openLocal({
    async getSubmission() {
      calls += 1;
      if (calls === 1) throw new QmtlError("STORE_UNAVAILABLE", "no database");
      return { submission: { submissionId: "s1" } };
    },
  });

  const { submission } = await gateway.getSubmission({ submissionId: "s1" });

  expect(submission?.submissionId).toBe("s1");
  expect(calls).toBe(2);
});

test("an outage is not asked again once the time of the call is over", async () => {
  let calls = 0;
  const { gateway } = await openLocal({
    async getSubmission() {
      calls += 1;
      throw new QmtlError("STORE_UNAVAILABLE", "no database");
    },
  });

  const call = gateway.getSubmission({ submissionId: "s1" }, { timeoutMs: 50 });

  await expect(call).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
  expect(calls).toBe(1);
});

test("a call that is given up is CANCELED, whatever the reason of its signal says", async () => {
  const { gateway, server } = await openLocal({ getSubmission: (_, context) => waiting(context) });
  const controller = new AbortController();

  const { signal } = controller;
  const call = gateway.getSubmission({ submissionId: "s1" }, { signal });
  const failure = call.catch((reason: unknown) => reason);
  await new Promise((resolve) => setImmediate(resolve));
  controller.abort(new QmtlError("DRAINING", "the gateway stops"));

  expect(await failure).toMatchObject({ code: Code.Canceled });
  expect(server.calls).toBe(0);
});

test("closing ends the calls in flight, and later ones are refused as on a closed connection", async () => {
  const { gateway, transport, connection } = await openLocal({
    getSubmission: (_, context) => waiting(context),
  });
  const failure = gateway.getSubmission({ submissionId: "s1" }).catch((reason: unknown) => reason);
  await new Promise((resolve) => setImmediate(resolve));

  transport.close();
  connection.close();

  expect(await failure).toMatchObject({ code: Code.Canceled });
  await expect(gateway.getSubmission({ submissionId: "s1" })).rejects.toMatchObject({
    code: Code.Canceled,
  });
});

test("an answer that the connection would not send is not handed over either", async () => {
  const submission = { stateReason: "x".repeat(17 * 1024 * 1024) };
  const { gateway } = await openLocal({ getSubmission: async () => ({ submission }) });

  await expect(gateway.getSubmission({ submissionId: "s1" })).rejects.toMatchObject({
    reason: "MESSAGE_TOO_LARGE",
  });
});

test("calls that are answered from memory leave timers their turns", async () => {
  const { gateway } = await openLocal({ getSubmission: async () => ({}) });
  let isTicking = true;
  let ticks = 0;
  const tick = () => {
    ticks += 1;
    if (isTicking) setImmediate(tick);
  };
  setImmediate(tick);

  for (let n = 0; n < 1_000; n += 1) await gateway.getSubmission({ submissionId: "s1" });
  isTicking = false;

  expect(ticks).toBeGreaterThanOrEqual(9);
});
