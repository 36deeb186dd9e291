import { describe, expect, test } from "vitest";
import { relativeChange } from "../indicators/momentum.ts";

describe("relative change", () => {
  test("is the change as a share of what was before", () => {
    expect(relativeChange(110, 100)).toBeCloseTo(0.1, 12);
    expect(relativeChange(90, 100)).toBeCloseTo(-0.1, 12);
  });

  test("has no value where there was no price before", () => {
    expect(relativeChange(1, 0)).toBeNaN();
    expect(relativeChange(1, Number.NaN)).toBeNaN();
  });
});
