import { create } from "@bufbuild/protobuf";
import { type QueueRecord, QueueRecordSchema } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { ColumnKind } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { emptyRowsMax, queueRowMax } from "@qmtl/core/queues";
import { expect, test } from "vitest";
import { describeEachDatabase } from "../testing/each-database.ts";
import { backtest, graph, keyOf, node, source, sourceKeyOf } from "../testing/graphs.ts";
import { openDag, type TestDag } from "../testing/open-dag.ts";
import {
  changedRows,
  firstBucketEndMs,
  float64s,
  laterStart,
  outcomeOf,
  row,
  start,
} from "../testing/records.ts";
import { lease, submitGraph } from "../testing/submit.ts";
import { ticketOf } from "../testing/test-tickets.ts";

const bars = sourceKeyOf("bars");
const close = keyOf("close");
const rowMax = BigInt(queueRowMax(86_400));

async function publish(dag: TestDag, records: readonly QueueRecord[], ticket = "s1") {
  const { results } = await dag.data.publish({ ticket, records: [...records] });
  return results.map(outcomeOf);
}

/** The demo's source and its close, both held under epoch 1, without a START. */
async function held(dag: TestDag): Promise<void> {
  await submitGraph(dag);
  expect(await lease(dag, "s1", [bars, close])).toEqual([1, 1]);
}

/** Fails unless everybody can read what the platform says of its queues. */
async function expectListed(dag: TestDag): Promise<void> {
  const { feeds } = await dag.queues.listFeeds({});
  expect(feeds.map((feed) => feed.source)).toEqual(["feed", "held"]);
  const { queues } = await dag.queues.listQueueStats({});
  expect(queues.length).toBeGreaterThan(5);
  const scope = { scope: { case: "source" as const, value: "held" } };
  await dag.queues.advanceFeed({ scope, to: { case: "toEnd", value: true } });
}

const empty = (row_: bigint, toRow: bigint, knownAtMs?: number) =>
  create(QueueRecordSchema, {
    computeKey: bars,
    leaseEpoch: 1n,
    body: {
      case: "empty",
      value: { row: row_, toRow, ...(knownAtMs === undefined ? {} : { knownAtMs }) },
    },
  });

const mark = (watermarkMs: bigint) =>
  create(QueueRecordSchema, {
    computeKey: bars,
    leaseEpoch: 1n,
    body: { case: "mark", value: { watermarkMs } },
  });

/** A run of rows with these bucket ends. */
function run(...ends: readonly number[]): QueueRecord {
  const numbers = float64s(...ends.map((_, at) => at));
  return changedRows(row(bars, 1, 0), {
    count: ends.length,
    bucketEndMs: float64s(...ends),
    knownAtMs: float64s(...ends.map(() => firstBucketEndMs)),
    columns: [numbers],
    stateHash: numbers,
  });
}

/** A float64 NaN with these lowest and highest bytes. */
function nan(low: number, high: number, last: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array([low, 0, 0, 0, 0, 0, high, last]);
}

const columns = (...values: Uint8Array<ArrayBuffer>[]) =>
  changedRows(row(bars, 1, 0), { columns: values });

const malformed: readonly (readonly [string, QueueRecord])[] = [
  ["a bucket end that is no number", run(Number.NaN)],
  ["a bucket end of -1e308", run(-1e308)],
  ["a bucket end of 1e308", run(1e308)],
  ["a bucket end without end", run(Number.POSITIVE_INFINITY)],
  ["a bucket end before year 1", run(-1e15)],
  ["a bucket end after year 9999", run(253_402_300_800_000)],
  ["a bucket end within a millisecond", run(firstBucketEndMs + 0.5)],
  ["bucket ends that do not increase", run(firstBucketEndMs, firstBucketEndMs)],
  [
    "a bad bucket end in the middle of a run",
    run(firstBucketEndMs, Number.NaN, firstBucketEndMs + 1),
  ],
  ["a known-at of 1e308", changedRows(row(bars, 1, 0), { knownAtMs: float64s(1e308) })],
  [
    "a known-at without end",
    changedRows(row(bars, 1, 0), { knownAtMs: float64s(Number.POSITIVE_INFINITY) }),
  ],
  ["no column", columns()],
  ["a column too many", columns(float64s(1), float64s(2))],
  ["a column without bytes", columns(new Uint8Array())],
  ["a column of 7 bytes", columns(new Uint8Array(7))],
  ["a column of 9 bytes", columns(new Uint8Array(9))],
  ["a column of 16 bytes", columns(new Uint8Array(16))],
  ["a NaN with a payload", columns(nan(1, 0xf8, 0x7f))],
  ["a negative NaN", columns(nan(0, 0xf8, 0xff))],
  ["a signalling NaN", columns(nan(1, 0xf0, 0x7f))],
  ["a row that no daily queue has", changedRows(row(bars, 1, 0), { row: rowMax + 1n })],
  ["a watermark of 2^53 - 1", mark(2n ** 53n - 1n)],
  ["a watermark of 1 - 2^53", mark(1n - 2n ** 53n)],
  ["an empty range up to 2^53 - 1", empty(0n, 2n ** 53n - 1n)],
  ["an empty range of more rows than readers keep", empty(0n, BigInt(emptyRowsMax))],
  ["an empty range known at 1e308", empty(0n, 0n, 1e308)],
  ["an empty range known at no time", empty(0n, 0n, Number.NaN)],
];

const malformedStarts: readonly (readonly [string, QueueRecord])[] = [
  ["an origin at row 10^15", start(bars, 1, { origin: { row: 10n ** 15n, warmFromRow: 0n } })],
  ["an origin at row -5", start(bars, 1, { origin: { row: -5n, warmFromRow: -9n } })],
  [
    "an origin at row 2^53 - 1",
    start(bars, 1, { origin: { row: 2n ** 53n - 1n, warmFromRow: 0n } }),
  ],
  ["a warm-up after the origin", start(bars, 1, { origin: { row: 3n, warmFromRow: 4n } })],
  [
    "an origin of a node at row 10^15",
    start(close, 1, { origin: { row: 10n ** 15n, warmFromRow: 0n } }),
  ],
  ["a fingerprint of a node", start(close, 1, { feedFingerprint: "f" })],
];

describeEachDatabase("records that are not right in themselves", (databases) => {
  test.each(malformed)(
    "%s is malformed, and the queue goes on as if it had not been sent",
    async (_, bad) => {
      await using dag = await openDag(databases());
      await held(dag);

      expect(await publish(dag, [start(bars, 1), bad])).toEqual(["ok", "MALFORMED"]);
      // Over a head that is known from the append before, too.
      expect(await publish(dag, [bad])).toEqual(["MALFORMED"]);

      await expectListed(dag);
      expect(await publish(dag, [row(bars, 1, 0)])).toEqual(["ok"]);
    },
  );

  test.each(malformedStarts)(
    "a START with %s is malformed, and a right one begins the queue",
    async (_, bad) => {
      await using dag = await openDag(databases());
      await held(dag);

      expect(await publish(dag, [bad])).toEqual(["MALFORMED"]);

      await expectListed(dag);
      expect(await publish(dag, [start(bad.computeKey, 1)])).toEqual(["ok"]);
      expect(await publish(dag, [row(bad.computeKey, 1, 0)])).toEqual(["ok"]);
    },
  );

  test("values that are no number, or without end, and the earliest and latest time are effective", async () => {
    await using dag = await openDag(databases());
    await held(dag);
    const at = (ms: number) => ({ bucketEndMs: float64s(ms), knownAtMs: float64s(ms) });
    const first = changedRows(row(bars, 1, 0), {
      ...at(-62_135_596_800_000),
      columns: [float64s(Number.NaN)],
    });
    const infinite = changedRows(row(bars, 1, 1), {
      columns: [float64s(Number.NEGATIVE_INFINITY)],
    });
    const last = changedRows(row(bars, 1, 2), at(253_402_300_799_999));

    expect(await publish(dag, [start(bars, 1), first, infinite, last])).toEqual([
      "ok",
      "ok",
      "ok",
      "ok",
    ]);

    await expectListed(dag);
  });

  test("a column of bytes may have any length in a row that stands alone, and none in a run", async () => {
    await using dag = await openDag(databases());
    const kinds = [
      { name: "text", kind: ColumnKind.BYTES },
      { name: "value", kind: ColumnKind.F64 },
    ];
    await submitGraph(
      dag,
      "A",
      graph([source("bars"), node("news", ["bars"], { columns: kinds })]),
    );
    const news = keyOf("news");
    await lease(dag, "s1", [news]);
    const text = new Uint8Array([1, 2, 3]);
    const alone = changedRows(row(news, 1, 0), { columns: [text, float64s(1)] });
    const swapped = changedRows(row(news, 1, 1), { columns: [float64s(1), text] });
    const run2 = changedRows(row(news, 1, 1), {
      count: 2,
      bucketEndMs: float64s(firstBucketEndMs + 1, firstBucketEndMs + 2),
      knownAtMs: float64s(firstBucketEndMs + 1, firstBucketEndMs + 2),
      columns: [float64s(1, 2), float64s(1, 2)],
      stateHash: float64s(1, 2),
    });

    expect(await publish(dag, [start(news, 1), alone])).toEqual(["ok", "ok"]);
    expect(await publish(dag, [swapped])).toEqual(["MALFORMED"]);
    expect(await publish(dag, [run2])).toEqual(["MALFORMED"]);
  });

  test("a START of other data than the session's strategies pin is of another feed, and a right one begins the queue", async () => {
    await using dag = await openDag(databases());
    const pinned = { ...backtest, asOf: "", pins: [{ source: "feed", fingerprint: "f1" }] };
    await submitGraph(dag, "A", graph([source("bars"), node("close", ["bars"])]), pinned);
    const ticket = ticketOf({ sessionId: "s1", strategyIds: ["A"] });
    await lease(dag, ticket, [bars]);

    expect(await publish(dag, [start(bars, 1, { feedFingerprint: "wrong" })], ticket)).toEqual([
      "FEED_CHANGED",
    ]);
    expect(await publish(dag, [start(bars, 1)], ticket)).toEqual(["FEED_CHANGED"]);
    expect(await publish(dag, [start(bars, 1, { feedFingerprint: "f1" })], ticket)).toEqual(["ok"]);
    expect(await publish(dag, [row(bars, 1, 0)], ticket)).toEqual(["ok"]);
  });

  test("a session without strategies, as an adapter has, pins nothing", async () => {
    await using dag = await openDag(databases());
    await held(dag);
    const ticket = ticketOf({ sessionId: "s1", worldId: "", strategyIds: [], rights: ["feed"] });

    expect(await publish(dag, [laterStart(bars, 1, { feedFingerprint: "f9" })], ticket)).toEqual([
      "ok",
    ]);
  });
});
