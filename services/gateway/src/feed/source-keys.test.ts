import type { Queryable } from "@qmtl/service-kit/db";
import { expect, test } from "vitest";
import type { SourceKey } from "../store/source-key-store.ts";
import { markedInstrumentsOf } from "./marked-instruments.ts";
import { SourceKeys } from "./source-keys.ts";

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
      instrument: "",
      columns,
      isReplay: true,
      ...key,
    })),
  );
  return known;
}

test("a source node without an instrument stands for the only one that its feed marks", () => {
  const keys = keysOf({ feed: ["X"] }, {});
  expect(keys.replayKey("k0")?.instrument).toBe("X");
  expect(keys.whyUnbooked("feed")).toBeUndefined();
});

test("a source node that names its instrument keeps it", () => {
  const keys = keysOf({ feed: ["X"] }, { instrument: "Y" });
  expect(keys.replayKey("k0")?.instrument).toBe("Y");
});

test("a feed that marks two instruments is explained, with what to set", () => {
  const keys = keysOf({ feed: ["X", "Y"] }, {});
  expect(keys.replayKey("k0")?.instrument).toBe("");
  expect(keys.whyUnbooked("feed")).toBe(
    "set instrument on the StreamInput of feed: it is the mark_source of X, Y",
  );
});

test("a feed that marks nothing, or lacks columns of a bar, is explained", () => {
  expect(keysOf({}, {}).whyUnbooked("feed")).toContain("set mark_source: feed");
  const closes = keysOf({ feed: ["X"] }, { columns: ["close"] });
  expect(closes.whyUnbooked("feed")).toContain("needs the columns open, high, low, close");
});

test("one bookable source node of a feed is enough, and an unknown feed is not explained", () => {
  const keys = keysOf({ feed: ["X", "Y"] }, {}, { instrument: "X" });
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
