import { describe, expect, test } from "vitest";
import { clip } from "../transforms/clipped.ts";

describe("clip", () => {
  test("scales, and holds the value within minus one and one", () => {
    expect(clip(0.02, 0.05)).toBeCloseTo(0.4, 12);
    expect(clip(9, 0.05)).toBe(1);
    expect(clip(-9, 0.05)).toBe(-1);
  });

  test("leaves no value as no value", () => {
    expect(clip(Number.NaN, 0.05)).toBeNaN();
  });
});
