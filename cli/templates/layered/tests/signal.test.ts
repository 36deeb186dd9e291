import { expect, test } from "vitest";
import { scaled } from "../layers/signal/signal.ts";

test("a signal stays within minus one and one, and no value stays no value", () => {
  expect(scaled(0.015, 0.03)).toBeCloseTo(0.5, 12);
  expect(scaled(1, 0.03)).toBe(1);
  expect(scaled(-1, 0.03)).toBe(-1);
  expect(scaled(Number.NaN, 0.03)).toBeNaN();
});
