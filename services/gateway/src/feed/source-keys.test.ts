import { create } from "@bufbuild/protobuf";
import { QueueRecordSchema } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { Queryable } from "@qmtl/service-kit/db";
import { expect, test } from "vitest";
import type { SourceKey } from "../store/source-key-store.ts";
import { markedInstrumentsOf, SourceKeys } from "./source-keys.ts";

const empty: Queryable = { query: async () => [], script: async () => {} };
const columns = ["open", "high", "low", "close"];

function keysOf(
  marked: Readonly<Record<string, readonly string[]>>,
  ...keys: Partial<SourceKey>[]
) {
  const known = new SourceKeys(empty, new Map(Object.entries(marked)));
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
  const keys = keysOf({ feed: ["X", "Y"], other: ["Z"] }, {});

  const bars = keys.barsOf(keys.replayKey("k0")!, record);

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
  const closes = keysOf({ feed: ["X"] }, { columns: ["close"] });
  expect(closes.whyUnbooked("feed")).toContain("needs the columns open, high, low, close");
  expect(closes.barsOf(closes.replayKey("k0")!, record)).toEqual([]);
});

test("one bookable source node of a feed is enough, and an unknown feed is not explained", () => {
  const keys = keysOf({ feed: ["X"] }, { columns: ["close"] }, {});
  expect(keys.whyUnbooked("feed")).toBeUndefined();
  expect(keys.whyUnbooked("other")).toBeUndefined();
});

test("the instruments of a feed are those of the configuration", () => {
  const instrument = { mark_source: "feed" };
  const config = { instruments: { X: instrument, Y: instrument, Z: { mark_source: "other" } } };
  expect([...markedInstrumentsOf(config)]).toEqual([
    ["feed", ["X", "Y"]],
    ["other", ["Z"]],
  ]);
});
