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
