import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { metric, nodeNames, runOffline } from "../smoke/offline-run.ts";

describe("momentum", () => {
  test("holds less than half of the worst fall of the index, and earns for it", async () => {
    const result = await runOffline(import.meta.dirname);

    expect(nodeNames(result)).toEqual(["bars", "price", "momentum", "momentum target"]);
    expect(result.returns.samples).toBe(5104);
    expect(result.orders).toHaveLength(44);
    expect(metric(result, "sharpe")).toBeCloseTo(0.4472, 4);
    expect(metric(result, "total_return")).toBeCloseTo(1.351, 3);
    const fall = result.buyAndHold.metrics.get("max_drawdown_ratio")!;
    expect(fall).toBeGreaterThan(0.56);
    expect(metric(result, "max_drawdown_ratio")).toBeLessThan(0.6 * fall);
  });

  test("buys at the open after the first close 2 % above that of 126 days before", async () => {
    const { fills } = await runOffline(import.meta.dirname, "strategy.ts", { until: "2003-12-31" });
    const rows = readFileSync(join(import.meta.dirname, "../data/sp500.csv"), "utf8").split("\n");
    const bars = rows.slice(1).map((row) => row.split(","));
    const close = (row: number): number => Number(bars[row]![4]);
    let decided = 126;
    while (close(decided) / close(decided - 126) - 1 < 0.02) decided++;

    const [first] = fills;
    expect(new Date(first!.eventTimeMs).toISOString().slice(0, 10)).toBe(bars[decided + 1]![0]);
    expect(first!.price).toBeCloseTo(Number(bars[decided + 1]![1]) * 1.0001, 2); // half the spread
    expect(first!.side).toBe("buy");
  });
});
