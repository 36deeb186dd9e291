import { create } from "@bufbuild/protobuf";
import { type QueueRecord, QueueRecordSchema } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import {
  type RunnerFrame,
  RunnerFrameSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/runner_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { silentLogger } from "@qmtl/service-kit";
import { ManualClock } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { WatermarkRegistry } from "../feed/watermark-registry.ts";
import { RunnerStream, type StreamPorts } from "./runner-stream.ts";

const key = "blake3:node";

/** The stream of one session over a log without records, and how its calls of SetTargets end. */
function openRig({ setTargets }: { readonly setTargets?: () => Promise<object> } = {}) {
  const heard: string[] = [];
  const clock = new ManualClock();
  const ports: StreamPorts = {
    publish: {
      dag: {
        unary: () => new Promise(() => {}),
        stream: async function* () {
          yield* [];
        },
      },
      keys: { learn: async () => {}, replayKey: () => undefined, valuesOf: () => [] },
      feeds: {
        offer: () => new Promise(() => {}),
        effective: async () => {},
        feedEnded: async () => {},
        refresh: async () => {},
        showAgain: () => {},
        lookAgain: () => {},
      },
      live: { appended: () => {}, hold: () => {}, unsure: () => {} },
    },
    feeds: {
      heard: (sessionId) => void heard.push(sessionId),
      follow: (sources, changed) => new WatermarkRegistry().follow(sources, [], changed),
    },
    live: { follow: () => {}, unfollow: () => {}, isAwaited: () => false },
    calls: {
      setTargets: setTargets ?? (() => new Promise(() => {})),
      enter: async () => {},
      leave: async () => {},
    },
    clock,
    logger: silentLogger,
  };
  const stream = new RunnerStream(ports, {
    principal: { name: "r", role: "researcher" },
    session: {
      ...{ sessionId: "s", worldId: "w", strategyIds: ["a"], sources: [] },
      rights: ["compute"],
    },
    signal: new AbortController().signal,
    timeoutMs: undefined,
    metadata: new Map(),
  });
  const take = (body: RunnerFrame["body"]) => stream.take(create(RunnerFrameSchema, { body }));
  const next = async () => (await stream.frames.next()).value?.body;
  return { stream, take, next, clock, heard };
}

const record = (seq: number): QueueRecord =>
  create(QueueRecordSchema, {
    ...{ computeKey: key, leaseEpoch: 1n, seq: BigInt(seq) },
    body: { case: "empty", value: { row: BigInt(seq), toRow: BigInt(seq) } },
  });

const endFrame = (number: number): RunnerFrame["body"] =>
  create(RunnerFrameSchema, {
    body: { case: "end", value: { number: BigInt(number), update: {} } },
  }).body;

test("a batch of more than 4,096 records comes in several frames, all of it in order", async () => {
  const { stream, take, next } = openRig();
  expect(await next()).toMatchObject({ case: "welcome" });
  const queues = [{ computeKey: key, position: { case: "fromSeq" as const, value: 0n } }];
  await take(create(RunnerFrameSchema, { body: { case: "follow", value: { queues } } }).body);
  // What comes while the log is read is read there.
  await new Promise((resolve) => setImmediate(resolve));
  const start = create(QueueRecordSchema, {
    ...{ computeKey: key, leaseEpoch: 1n },
    body: { case: "start", value: {} },
  });
  stream.takeRecords([{ record: start, seq: 0 }]);
  expect(await next()).toMatchObject({ case: "share" });

  stream.takeSlice(
    64_000,
    Array.from({ length: 10_000 }, (_, seq) => ({ record: record(seq), seq })),
  );

  const frames = [await next(), await next(), await next()];
  const seqs = frames.map((body) =>
    body?.case === "slice" ? (body.value.records ?? []).map(({ seq }) => Number(seq)) : [],
  );
  expect(seqs.map(({ length }) => length)).toEqual([4_096, 4_096, 1_808]);
  expect(seqs.flat()).toEqual(Array.from({ length: 10_000 }, (_, seq) => seq));
});

test("a runner may wait for the answers of 64 slice ends, and no more", async () => {
  const { take } = openRig();
  for (let number = 1; number <= 64; number++) await take(endFrame(number));

  await expect(take(endFrame(65))).rejects.toMatchObject({ reason: "TOO_MANY_REQUESTS" });
});

test("a slice end that fails is answered with its reason, its code and when to come again", async () => {
  const failure = new QmtlError("BARRIER_HELD", "the end is held", { retryAfterMs: 200 });
  const { take, next } = openRig({ setTargets: () => Promise.reject(failure) });
  await next();
  await take(endFrame(7));

  expect(await next()).toMatchObject({
    case: "taken",
    value: {
      number: 7n,
      refusal: { message: "the end is held", retryDelay: { nanos: 200_000_000 } },
    },
  });
});

test("a stream ends when its runner does not read, and says so every 2 s that it lives", async () => {
  const { stream, clock } = openRig();
  for (let at = 0; at < 5_000 && !stream.frames.isOver; at++) clock.advance(2_000);

  expect(stream.frames.isOver).toBe(true);
  const read = async () => {
    for await (const _ of stream.frames);
  };
  await expect(read()).rejects.toMatchObject({ reason: "BUFFER_FULL" });
});

test("a hello in the middle of a stream is out of order", async () => {
  const { take } = openRig();
  const hello = create(RunnerFrameSchema, { body: { case: "hello", value: {} } }).body;

  await expect(take(hello)).rejects.toMatchObject({ reason: "INVALID_FIELD" });
});
