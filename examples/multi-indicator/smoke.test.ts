import { describe, expect, test } from "vitest";
import { metric, nodeNames, runOffline } from "../smoke/offline-run.ts";

describe("multi-indicator", () => {
  test("lets three indicators vote and comes to the figures of its README", async () => {
    const result = await runOffline(import.meta.dirname);

    expect(nodeNames(result)).toEqual(
      expect.arrayContaining(["ema5", "ema20", "rsi14", "bands", "upper", "lower", "votes"]),
    );
    expect(result.orders).toHaveLength(313);
    expect(metric(result, "sharpe")).toBeCloseTo(0.0655, 4);
    expect(metric(result, "total_return")).toBeCloseTo(0.0278, 4);
  });

  test("waits for its slowest indicator: nothing is decided on the first 19 closes", async () => {
    const { fills, timesMs } = await runOffline(import.meta.dirname, "strategy.ts", {
      until: "2000-12-29",
    });

    expect(fills.length).toBeGreaterThan(5);
    expect(fills[0]!.eventTimeMs).toBeGreaterThanOrEqual(timesMs[19]!);
  });

  test("pays for its haste: without costs it would have earned three times as much", async () => {
    const free = await runOffline(import.meta.dirname, "strategy.ts", { noCosts: true });

    expect(metric(free, "total_return")).toBeCloseTo(0.0941, 3);
  });
});
