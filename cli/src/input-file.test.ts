import { expect, test } from "vitest";
import { readTextFile, readUpTo } from "./input-file.ts";

const own = new URL(import.meta.url).pathname;

test("a file is read whole, or not at all when it is larger than allowed", () => {
  const bytes = readUpTo(own, 10_000)!;

  expect(bytes.toString("utf8")).toBe(readTextFile(own));
  expect(readUpTo(own, bytes.length)).toEqual(bytes);
  expect(readUpTo(own, bytes.length - 1)).toBeUndefined();
});

test("a device without an end is refused, not read for ever", () => {
  expect(() => readTextFile("/dev/zero")).toThrow(/cannot read \/dev\/zero: it is larger than/);
});

test("a folder is refused as unreadable", () => {
  expect(() => readTextFile("/")).toThrow(/cannot read \/: EISDIR/);
});
