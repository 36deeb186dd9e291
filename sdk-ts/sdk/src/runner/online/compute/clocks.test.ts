import { observedClock } from "@qmtl/core/dataflow";
import { expect, test } from "vitest";
import type { OnlineInput } from "../log/input.ts";
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
