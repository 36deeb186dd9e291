import { create } from "@bufbuild/protobuf";
import { QueueRecordSchema } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { type BookedSource, bookedSources } from "@qmtl/sdk/config";
import type { Queryable } from "@qmtl/service-kit/db";
import { expect, test } from "vitest";
import type { SourceKey } from "../store/source-key-store.ts";
import { SourceKeys } from "./source-keys.ts";

const empty: Queryable = { query: async () => [], script: async () => {} };
const columns = ["open", "high", "low", "close"];

function keysOf(booked: Readonly<Record<string, BookedSource>>, ...keys: Partial<SourceKey>[]) {
  const known = new SourceKeys(empty, new Map(Object.entries(booked)));
  known.add(
    keys.map((key, index) => ({
      computeKey: `k${index}`,
      nodeId: `n${index}`,
      source: "feed",
      columns,
      isReplay: true,
      ...key,
    })),
  );
  return known;
}

/** A feed that marks instruments, and states funding by columns of its own. */
const booking = (marked: readonly string[], funded: BookedSource["funded"] = []): BookedSource => ({
  ...{ marked, funded },
  columns: [...(marked.length === 0 ? [] : columns), ...funded.map(({ column }) => column)],
});

const float = (value: number) => new Uint8Array(new Float64Array([value]).buffer);
const record = create(QueueRecordSchema, {
  computeKey: "k0",
  body: {
    case: "rows",
    value: {
      row: 7n,
      count: 1,
      bucketEndMs: float(86_400_000),
      columns: [1, 3, 0.5, 2].map(float),
    },
  },
});

test("a row marks every instrument of its feed", () => {
  const keys = keysOf({ feed: booking(["X", "Y"]), other: booking(["Z"]) }, {});

  const bars = keys.valuesOf(keys.replayKey("k0")!, record);

  const bar = {
    source: "feed",
    row: 7,
    bucketEndMs: 86_400_000,
    open: 1,
    high: 3,
    low: 0.5,
    close: 2,
  };
  expect(bars).toEqual([
    { ...bar, instrument: "X" },
    { ...bar, instrument: "Y" },
  ]);
  expect(keys.whyUnbooked("feed")).toBeUndefined();
});

test("a feed that marks nothing, or lacks columns of a bar, is explained", () => {
  expect(keysOf({}, {}).whyUnbooked("feed")).toBe("set mark_source: feed on an instrument");
  const closes = keysOf({ feed: booking(["X"]) }, { columns: ["close"] });
  expect(closes.whyUnbooked("feed")).toContain("needs the columns open, high, low, close");
  expect(closes.valuesOf(closes.replayKey("k0")!, record)).toEqual([]);
});

test("one bookable source node of a feed is enough, and an unknown feed is not explained", () => {
  const keys = keysOf({ feed: booking(["X"]) }, { columns: ["close"] }, {});
  expect(keys.whyUnbooked("feed")).toBeUndefined();
  expect(keys.whyUnbooked("other")).toBeUndefined();
});

test("a row states the rates of the instruments that its feed funds, whether it marks any or not", () => {
  const funded = [
    { instrument: "P", column: "p" },
    { instrument: "Q", column: "q" },
  ];
  const rates = keysOf({ feed: booking([], funded) }, { columns: ["q", "p"] });
  const both = keysOf({ feed: booking(["P"], [funded[0]!]) }, { columns: [...columns, "p"] });
  const ofRow = (count: number) => {
    const value = { row: 7n, count: 1, bucketEndMs: float(1_000) };
    const values = Array.from({ length: count }, (_, at) => float(at + 1));
    return create(QueueRecordSchema, {
      body: { case: "rows", value: { ...value, columns: values } },
    });
  };
  const place = { source: "feed", row: 7, bucketEndMs: 1_000 };

  expect(rates.valuesOf(rates.replayKey("k0")!, ofRow(2))).toEqual([
    { ...place, instrument: "P", rate: 2 },
    { ...place, instrument: "Q", rate: 1 },
  ]);
  expect(both.valuesOf(both.replayKey("k0")!, ofRow(5))).toEqual([
    { ...place, instrument: "P", open: 1, high: 2, low: 3, close: 4 },
    { ...place, instrument: "P", rate: 5 },
  ]);
});

test("rows of a feed with bars and rates are booked from a queue that has all of its columns", () => {
  const booked = { feed: booking(["P"], [{ instrument: "P", column: "p" }]) };
  const bars = keysOf(booked, {});

  expect(bars.whyUnbooked("feed")).toBe(
    "the StreamInput of feed needs the columns open, high, low, close, p",
  );
  expect(bars.valuesOf(bars.replayKey("k0")!, record)).toEqual([]);
  expect(keysOf(booked, {}, { columns: [...columns, "p"] }).whyUnbooked("feed")).toBeUndefined();
});

test("the instruments of a feed are those of the configuration", () => {
  const instrument = { mark_source: "feed", funding: null };
  const funded = { ...instrument, funding: { source: "rates", column: "z" } };
  const config = {
    instruments: { X: instrument, Y: funded, Z: { ...funded, mark_source: "rates" } },
  };

  expect([...bookedSources(config)]).toEqual([
    ["feed", { marked: ["X", "Y"], funded: [], columns }],
    [
      "rates",
      {
        marked: ["Z"],
        funded: [
          { instrument: "Y", column: "z" },
          { instrument: "Z", column: "z" },
        ],
        columns: [...columns, "z"],
      },
    ],
  ]);
});
