import { describe, expect, test } from "vitest";
import { costDrag } from "../layers/brokerage/cost-drag.ts";

describe("cost drag", () => {
  test("is fees and spread as a share of the first capital", () => {
    expect(costDrag({ fees: 60, spread: 40 }, 10_000)).toBeCloseTo(0.01, 12);
  });

  test("has no meaning without capital", () => {
    expect(() => costDrag({ fees: 1, spread: 1 }, 0)).toThrow(RangeError);
  });
});
