import { create } from "@bufbuild/protobuf";
import { QueueRecordSchema } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { expect, test } from "vitest";
import { planPublish } from "./publish-plan.ts";
import { valuesOf } from "./source-values.ts";

const floats = (...values: number[]) => new Uint8Array(new Float64Array(values).buffer);
const columns = ["open", "high", "low", "close"];
const booked = { marked: ["SPX"], funded: [], columns };
const key = {
  computeKey: "bars",
  nodeId: "n",
  source: "spx",
  instrument: "SPX",
  columns,
  isReplay: true,
};
const keyOf = (computeKey: string) => (computeKey === "sma" ? undefined : { ...key, computeKey });
const row = (computeKey: string, at: number, count = 1) => {
  const ends = floats(...Array.from({ length: count }, (_, k) => (at + k) * 1_000));
  return create(QueueRecordSchema, {
    computeKey,
    seq: BigInt(at),
    body: {
      case: "rows",
      value: {
        row: BigInt(at),
        count,
        bucketEndMs: ends,
        knownAtMs: ends,
        columns: columns.map((_, column) =>
          floats(...Array.from({ length: count }, (__, k) => column * 100 + at + k)),
        ),
      },
    },
  });
};

test("rows of a feed are held one by one, what belongs to one row goes together", () => {
  const start = create(QueueRecordSchema, {
    computeKey: "bars",
    body: { case: "start", value: { build: "b" } },
  });
  const records = [start, row("bars", 5), row("flow", 5), row("sma", 4), row("bars", 6)];
  const parts = planPublish(records, keyOf);
  expect(parts.map(({ indexes, wait }) => [indexes, wait?.row.row])).toEqual([
    [[0], undefined],
    [[1, 2, 3], 5],
    [[4], 6],
  ]);
});

test("a START goes by itself: the rows of an earlier epoch before it may be void", () => {
  const start = create(QueueRecordSchema, {
    computeKey: "bars",
    leaseEpoch: 2n,
    body: { case: "start", value: { build: "b" } },
  });
  const parts = planPublish([row("bars", 5), row("bars", 6), start, row("bars", 5)], keyOf);
  expect(parts.map(({ indexes, wait }) => [indexes, wait?.row.row])).toEqual([
    [[0], 5],
    [[1], 6],
    [[2], undefined],
    [[3], 5],
  ]);
});

test("a run of rows is cut into single ones, and each is its bar", () => {
  const parts = planPublish([row("bars", 7, 3)], keyOf);
  expect(parts.map(({ indexes, wait }) => [indexes, wait?.row])).toEqual(
    [7, 8, 9].map((at) => [[0], { row: at, toRow: at, timeMs: at * 1_000 }]),
  );
  const bars = parts.flatMap(({ records }) =>
    records.flatMap((record) => valuesOf(key, record, booked)),
  );
  expect(bars).toEqual(valuesOf(key, row("bars", 7, 3), booked));
  expect(bars[1]).toEqual({
    source: "spx",
    instrument: "SPX",
    row: 8,
    bucketEndMs: 8_000,
    open: 8,
    high: 108,
    low: 208,
    close: 308,
  });
});

test("a row whose bucket end is no time has no place at the barrier, and its run stays whole for the log to refuse", () => {
  for (const bad of [Number.NaN, -1e308, 1e308, 253_402_300_800_000, 6_000.5, 5_000]) {
    const run = row("bars", 5, 2);
    if (run.body.case !== "rows") throw new Error("no rows");
    run.body.value.bucketEndMs = floats(5_000, bad);

    const parts = planPublish([run, row("bars", 7)], keyOf);

    expect(parts.map(({ indexes, wait }) => [indexes, wait?.row.row])).toEqual([
      [[0], undefined],
      [[1], 7],
    ]);
    expect(parts[0]!.records).toEqual([run]);
  }
});

test("rows without values that were known at no time have no place at the barrier", () => {
  const empty = create(QueueRecordSchema, {
    computeKey: "bars",
    body: { case: "empty", value: { row: 5n, toRow: 6n, knownAtMs: 1e308 } },
  });

  expect(planPublish([empty], keyOf)[0]!.wait).toBeUndefined();
});

test("a row that an older version stored without a time brings no bar", () => {
  const stored = row("bars", 5, 2);
  if (stored.body.case !== "rows") throw new Error("no rows");
  stored.body.value.bucketEndMs = floats(-1e308, 6_000);

  expect(valuesOf(key, stored, booked).map(({ row: at }) => at)).toEqual([6]);
});
