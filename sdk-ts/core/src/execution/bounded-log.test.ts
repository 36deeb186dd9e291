import { expect, test } from "vitest";
import { BoundedLog } from "./bounded-log.ts";

test("forgets the oldest first and keeps the order of the rest", () => {
  const log = new BoundedLog<number>(2);

  for (const [key, value] of [
    ["a", 1],
    ["b", 2],
    ["a", 3],
    ["c", 4],
    ["d", 5],
  ] as const) {
    log.set(key, value);
  }

  expect(log.entries()).toEqual([
    ["c", 4],
    ["d", 5],
  ]);
  expect(log.has("a")).toBe(false);
  expect(log.keys()).toEqual(["c", "d"]);
  expect(log.values()).toEqual([4, 5]);
  expect(() => new BoundedLog(0)).toThrow(RangeError);
});
