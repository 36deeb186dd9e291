import { describe, expect, test } from "vitest";
import { metric, nodeNames, runOffline } from "../smoke/offline-run.ts";

describe("branching", () => {
  test("joins its two branches: each node once, inputs before readers", async () => {
    const result = await runOffline(import.meta.dirname);

    const names = nodeNames(result);
    expect(new Set(names).size).toBe(7);
    expect(names.slice(0, 2)).toEqual(["bars", "price"]);
    expect(names.slice(-2)).toEqual(["strength", "strength target"]);
    expect(names.indexOf("returns")).toBeLessThan(names.indexOf("volatility"));
    const rows = result.returns.samples + 1;
    expect([...result.evaluations.values()]).toEqual(new Array(6).fill(rows)); // the price was computed once
  });

  test("comes to the figures of its README", async () => {
    const result = await runOffline(import.meta.dirname);

    expect(result.orders).toHaveLength(70);
    expect(metric(result, "sharpe")).toBeCloseTo(0.1889, 4);
    expect(metric(result, "total_return")).toBeCloseTo(0.323, 4);
    expect(metric(result, "max_drawdown_ratio")).toBeCloseTo(0.3079, 4);
  });
});
