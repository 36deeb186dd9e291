import { expect, test } from "vitest";
import type { RowContent } from "../log/wire-records.ts";
import { isSameRow, shortHash } from "./hashes.ts";

const hashOf = (text: string) => shortHash(new TextEncoder().encode(text));
const row = (change: Partial<RowContent> = {}): RowContent => ({
  bucketEndMs: 0,
  values: Float64Array.of(1, Number.NaN),
  inputSeq: [7],
  stateHash: new Uint8Array(),
  windowHash: new Uint8Array(),
  ...change,
});

test("a row differs in a bit of its values, and in its state where both have one", () => {
  const withState = (state: string) => row({ stateHash: hashOf(state) });

  expect(isSameRow(row(), row())).toBe(true);
  expect(isSameRow(row(), row({ values: Float64Array.of(1, 0) }))).toBe(false);
  expect(
    isSameRow(row({ values: Float64Array.of(0, 1) }), row({ values: Float64Array.of(-0, 1) })),
  ).toBe(false);
  expect(isSameRow(withState("a"), withState("b"))).toBe(false);
  expect(isSameRow(withState("a"), row())).toBe(true);
  expect(isSameRow(row(), undefined)).toBe(false);
});

test("a window that reaches back before the log is no difference: other rows there, the same row here", () => {
  const withWindow = (window: string) => row({ windowHash: hashOf(window) });

  expect(isSameRow(withWindow("with history"), withWindow("without"))).toBe(true);
  expect(isSameRow(row({ inputSeq: [7] }), row({ inputSeq: [8] }))).toBe(true);
});
