import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { Metadata } from "@grpc/grpc-js";
import {
  GatewayService,
  WatchSubmissionResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { clientOf, connectTo, dressTransport, QmtlError } from "@qmtl/sdk/rpc";
import { afterEach, expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import { openGrpcServer } from "../grpc-server.ts";
import { type CallContext, EncodedMessage, type Handlers, serve } from "../handlers.ts";
import { ManualClock, waitUntil } from "../testing/index.ts";
import { LocalStream } from "./local-stream.ts";
import { LocalTransport } from "./local-transport.ts";
import type { ServerOptions } from "./server-setup.ts";
import { OutgoingMessage } from "./write-through.ts";

const opened: AsyncDisposableStack[] = [];
afterEach(async () => {
  for (const each of opened.splice(0)) await each.disposeAsync();
});

type Watch = NonNullable<Handlers<typeof GatewayService>["watchSubmission"]>;

/** A client of the server of its own process, whose one method answers with a stream. */
async function openLocal(watchSubmission: Watch, options: Partial<ServerOptions> = {}) {
  const stack = new AsyncDisposableStack();
  opened.push(stack);
  const services = [serve(GatewayService, { watchSubmission })];
  const server = await openGrpcServer({ services, ...options });
  stack.defer(() => server.close());
  const connection = connectTo(`http://127.0.0.1:${server.port}`);
  stack.defer(() => connection.close());
  const { clock = systemClock } = options;
  const transport = new LocalTransport(connection.transport, server.local, clock);
  const gateway = clientOf(GatewayService, dressTransport(transport, {}));
  const watch = (how: { signal?: AbortSignal; timeoutMs?: number } = {}) =>
    gateway.watchSubmission({ submissionId: "s1" }, how);
  return { server, watch, transport, connection: connection.transport };
}

const message = (stateReason: string) => ({ submission: { submissionId: "s1", stateReason } });

const waiting = ({ signal }: CallContext) =>
  new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });

type Watched = ReturnType<Awaited<ReturnType<typeof openLocal>>["watch"]>;

/** Reads a stream to its end. @returns what came, and the failure it ended with */
async function readAll(stream: Watched): Promise<{ states: string[]; failure: unknown }> {
  const states: string[] = [];
  try {
    for await (const { submission } of stream) states.push(submission?.stateReason ?? "");
    return { states, failure: undefined };
  } catch (failure) {
    return { states, failure };
  }
}

test("a stream makes no connection, and passes encoded messages on", async () => {
  const encoded = new EncodedMessage(
    toBinary(
      WatchSubmissionResponseSchema,
      create(WatchSubmissionResponseSchema, message("ready")),
    ),
  );
  const { watch, connection } = await openLocal(async function* () {
    yield encoded;
    yield message("after");
  });

  expect((await readAll(watch())).states).toEqual(["ready", "after"]);
  expect(connection.state()).toBe("idle");
});

test("readers of one encoded message do not share its memory", async () => {
  const bytes = Buffer.from([1, 2, 3]);
  const call = new LocalStream(Buffer.alloc(0), new Metadata(), undefined, systemClock);
  call.write(new OutgoingMessage(bytes, () => {}));

  const taken = await call.take();
  taken?.fill(0);

  expect([...bytes]).toEqual([1, 2, 3]);
});

test("a handler is not asked for more than 16 messages that its reader has not taken", async () => {
  let made = 0;
  const { watch } = await openLocal(async function* () {
    for (;;) yield message(String(++made));
  });

  const stream = watch()[Symbol.asyncIterator]();
  await stream.next();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const afterOne = made;
  for (let read = 0; read < 10; read++) await stream.next();
  await new Promise((resolve) => setTimeout(resolve, 20));

  expect(afterOne).toBeLessThanOrEqual(18);
  expect(made - afterOne).toBe(10);
  await stream.return?.();
});

test("a reader that takes nothing for too long gets what waits for it, and then BUFFER_FULL", async () => {
  const clock = new ManualClock();
  const { watch, server } = await openLocal(
    async function* () {
      for (;;) yield message("x");
    },
    { clock, stallMsMax: 1_000 },
  );
  const stream = watch();
  const reader = stream[Symbol.asyncIterator]();
  await reader.next();
  await new Promise((resolve) => setTimeout(resolve, 20));

  clock.advance(1_000);
  await waitUntil(() => server.calls === 0);
  let left = 0;
  const drained = async () => {
    while ((await reader.next()).done !== true) left++;
  };

  await expect(drained()).rejects.toMatchObject({ reason: "BUFFER_FULL" });
  expect(left).toBe(16);
});

test("a deadline ends a stream after the messages before it, and its handler is told", async () => {
  const clock = new ManualClock();
  let seen: AbortSignal | undefined;
  const { watch, server } = await openLocal(
    async function* (_, context) {
      seen = context.signal;
      yield message("first");
      await waiting(context);
    },
    { clock },
  );
  const stream = watch({ timeoutMs: 5_000 })[Symbol.asyncIterator]();
  const first = await stream.next();
  const second = stream.next().catch((reason: unknown) => reason);

  clock.advance(5_000);

  expect(first.value?.submission?.stateReason).toBe("first");
  expect(await second).toMatchObject({ code: Code.DeadlineExceeded });
  expect(seen?.aborted).toBe(true);
  expect(server.calls).toBe(0);
});

test("an abort ends a stream at once, even one that has more to give", async () => {
  const stop = new AbortController();
  const { watch, server } = await openLocal(async function* () {
    for (;;) yield message("x");
  });
  const stream = watch({ signal: stop.signal })[Symbol.asyncIterator]();
  await stream.next();

  stop.abort();

  await expect(stream.next()).rejects.toMatchObject({ code: Code.Canceled });
  await waitUntil(() => server.calls === 0);
});

test("closing the transport ends streams as CANCELED, and the next one is refused as on the wire", async () => {
  const { watch, transport, connection, server } = await openLocal(async function* (_, context) {
    yield message("first");
    await waiting(context);
  });
  const read = readAll(watch());
  await waitUntil(() => server.calls === 1);
  await new Promise((resolve) => setImmediate(resolve));

  transport.close();
  connection.close();

  expect((await read).failure).toMatchObject({ code: Code.Canceled });
  expect((await readAll(watch())).failure).toMatchObject({ code: Code.Canceled });
  expect(server.calls).toBe(0);
});

test("a draining server is asked over the connection, which says so", async () => {
  const { watch, server } = await openLocal(async function* () {
    yield message("never");
  });
  await server.drain();

  expect(await readAll(watch())).toMatchObject({ states: [], failure: { reason: "DRAINING" } });
});

test("an outage before the first message is asked again over the connection, one after it is not", async () => {
  let calls = 0;
  const outage = () => new QmtlError("STORE_UNAVAILABLE", "no database");
  const { watch, connection } = await openLocal(async function* () {
    calls += 1;
    if (calls === 1) throw outage();
    yield message("there again");
    throw outage();
  });

  const { states, failure } = await readAll(watch());

  expect(states).toEqual(["there again"]);
  expect(failure).toMatchObject({ reason: "STORE_UNAVAILABLE" });
  expect(calls).toBe(2);
  expect(connection.state()).toBe("ready");
});

test("a stream given up for a stop of its own is not asked again, whatever the reason of its signal", async () => {
  let calls = 0;
  const { watch } = await openLocal(async function* (_, context) {
    calls += 1;
    yield await waiting(context);
  });
  const stop = new AbortController();
  const read = readAll(watch({ signal: stop.signal }));
  await waitUntil(() => calls === 1);

  stop.abort(new QmtlError("DRAINING", "the gateway stops"));

  expect((await read).states).toEqual([]);
  expect(calls).toBe(1);
});

test("a message that the connection would not send ends the stream, and its handler cleans up", async () => {
  let isCleanedUp = false;
  const { watch } = await openLocal(async function* () {
    try {
      yield message("small");
      yield message("x".repeat(17 * 1024 * 1024));
    } finally {
      isCleanedUp = true;
    }
  });

  const { states, failure } = await readAll(watch());

  expect(states).toEqual(["small"]);
  expect(failure).toMatchObject({ reason: "MESSAGE_TOO_LARGE" });
  await waitUntil(() => isCleanedUp);
});

test("a stream that is read from memory leaves timers their turns", async () => {
  const { watch } = await openLocal(async function* () {
    for (let at = 0; at < 1_000; at++) yield message("x");
  });
  let isTicking = true;
  let ticks = 0;
  const tick = () => {
    ticks += 1;
    if (isTicking) setImmediate(tick);
  };
  setImmediate(tick);

  const { states } = await readAll(watch());
  isTicking = false;

  expect(states).toHaveLength(1_000);
  expect(ticks).toBeGreaterThanOrEqual(9);
});
