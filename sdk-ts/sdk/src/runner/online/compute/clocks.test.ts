import { observedClock } from "@qmtl/core/dataflow";
import { expect, test } from "vitest";
import { inputContent, type OnlineInput } from "../log/input.ts";
import { OnlineClocks } from "./clocks.ts";

/** A feed whose queue has rows `0` … `rows − 1`, a minute each. */
function input(source: string, rows: number, isEnded = false): OnlineInput {
  const has = (row: number): boolean => row >= 0 && row < rows;
  const content = (row: number) => ({ bucketEndMs: (row + 1) * 60_000, values: [1] });
  const replica = {
    isStarted: rows > 0,
    isEnded,
    isTrimmed: false,
    firstRow: rows > 0 ? 0 : Number.NaN,
    nextRow: rows,
    lastFreedEnd: undefined,
    isFreed: () => false,
    endsAfter: () => Number.NEGATIVE_INFINITY,
    row: (row: number) => (has(row) ? { content: content(row) } : undefined),
  };
  const clock = observedClock(source, 60_000);
  return { nodeId: source, source, clock, replica, feed: undefined } as unknown as OnlineInput;
}

/** A feed whose file begins at its first row, and whose queue has none yet. */
function listedLater(source: string): OnlineInput {
  const bucketEndMs = (row: number) => (row + 100) * 60_000;
  return {
    ...input(source, 0),
    feed: { rows: { firstRow: 0, startRow: 0, endRow: 5 }, bucketEndMs },
  } as unknown as OnlineInput;
}

/** Clocks that stand after the last bucket for which every feed has its row. */
function standing(...inputs: readonly OnlineInput[]): OnlineClocks {
  const clocks = new OnlineClocks(inputs);
  for (let next = clocks.next(); next !== undefined; next = clocks.next()) clocks.advance(next);
  return clocks;
}

test("a feed without its next row is named once another is some buckets ahead", () => {
  expect(standing(input("a", 8), input("b", 3)).waitsFor(5)).toEqual(["b"]);
  expect(standing(input("a", 8), input("b", 0)).waitsFor(5)).toEqual(["b"]);
});

test("nothing is waited for while no other feed is ahead, or after a feed has ended", () => {
  expect(standing(input("a", 7), input("b", 3)).waitsFor(5)).toEqual([]);
  expect(standing(input("a", 3), input("b", 3)).waitsFor(5)).toEqual([]);
  expect(standing(input("a", 8), input("b", 3, true)).waitsFor(5)).toEqual([]);
});

test("a run is not held back to before its history by a feed that has not begun", () => {
  const clocks = new OnlineClocks([input("a", 8), listedLater("b")]);

  expect(clocks.availableMs()).toBe(8 * 60_000);
  clocks.standAt(clocks.availableMs());
  expect(clocks.row).toBe(7);
});

const day = 24 * 60;

/** A feed with a file: rows that end at these minutes, the feed from row `startRow` on, `logged` rows of it in its queue. */
function filed(source: string, ends: readonly number[], startRow: number, logged = 0): OnlineInput {
  const bucketEndMs = (row: number) => (ends[row] ?? Number.NaN) * 60_000;
  const { replica, ...rest } = input(source, 0);
  const has = (row: number): boolean => row >= startRow && row < startRow + logged;
  return {
    ...rest,
    replica: {
      ...replica,
      isStarted: true,
      firstRow: startRow,
      nextRow: startRow + logged,
      row: (row: number) =>
        has(row) ? { content: { bucketEndMs: bucketEndMs(row), values: [row] } } : undefined,
    },
    feed: {
      rows: { firstRow: 0, startRow, endRow: ends.length },
      bucketEndMs,
      isMissing: () => false,
      values: (row: number) => Float64Array.of(row),
    },
  } as unknown as OnlineInput;
}

/** Days of two weeks, by their ends: Monday's is day 1. */
const everyDay = Array.from({ length: 14 }, (_, k) => (k + 1) * day);
const weekdays = everyDay.filter((_, k) => k % 7 < 5);
const [friday, sunday] = [5 * day * 60_000, 7 * day * 60_000];

test("a run that starts on a Monday has the weekend of a feed that trades then, though another has none", () => {
  const us = filed("us", weekdays, 5);
  const btc = filed("btc", everyDay, 7);
  const clocks = new OnlineClocks([us, btc]);

  expect(clocks.availableMs()).toBe(sunday);
  clocks.standAt(clocks.availableMs());
  expect([us, btc].map(({ clock }) => clocks.lastRow(clock.key))).toEqual([4, 6]);
  expect(clocks.next()).toBeUndefined();
});

test("later it goes on from the last row that is in the log of each feed, whichever of them is ahead", () => {
  const ahead = new OnlineClocks([filed("us", weekdays, 5, 1), filed("btc", everyDay, 7, 2)]);
  expect(ahead.availableMs()).toBe(8 * day * 60_000);

  const behind = new OnlineClocks([filed("us", weekdays, 2, 3), filed("btc", everyDay, 2, 5)]);
  expect(behind.availableMs()).toBe(friday);
});

test("a week that has not ended, and a feed that has ended or is listed later, hold no day back", () => {
  const week = filed("week", [7 * day, 14 * day], 1);
  const old = filed("old", [day, 2 * day], 2);
  const later = filed("later", [12 * day], 0);
  const clocks = new OnlineClocks([filed("btc", everyDay, 7, 3), week, old, later]);

  expect(clocks.availableMs()).toBe(10 * day * 60_000);
});

test("a queue that was just claimed is continued from before its next row, and no earlier", () => {
  const us = filed("us", weekdays, 2, 4);
  const btc = filed("btc", everyDay, 2, 6);
  const clocks = new OnlineClocks([us, btc]);
  const from = (row: number) => clocks.availableMs([[us.clock.key, row]]);

  expect(clocks.availableMs()).toBe(8 * day * 60_000);
  expect(from(5)).toBe(friday);
  expect(from(4)).toBe(4 * day * 60_000);
  expect(new OnlineClocks([filed("us", weekdays, 5), btc]).availableMs([[us.clock.key, 5]])).toBe(
    sunday,
  );
});

test("a row before the first of its queue has what the file has, and is no missing one", () => {
  const btc = filed("btc", everyDay, 7, 2);
  const clocks = new OnlineClocks([filed("us", weekdays, 5, 1), btc]);
  clocks.standAt(friday);

  const saturday = clocks.next();
  expect(saturday?.rows.get(btc.clock.key)).toBe(5);
  expect(inputContent(btc, 5)).toEqual(Float64Array.of(5));
  expect(inputContent(btc, 7)).toEqual([7]);
  expect(inputContent(btc, -1)).toBeUndefined();
});
