import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { metric, runOffline } from "../smoke/offline-run.ts";

function lastClose(symbol: string): number {
  const file = join(import.meta.dirname, "../data", `${symbol.toLowerCase()}.csv`);
  return Number(readFileSync(file, "utf8").trim().split("\n").at(-1)!.split(",")[4]);
}

describe("multi-asset", () => {
  test("trades four instruments in one account and comes to the figures of its README", async () => {
    const result = await runOffline(import.meta.dirname);

    const traded = new Set(result.orders.map(({ instrument }) => instrument));
    expect([...traded].sort()).toEqual(["FOLLOW", "LEAD", "PAIR", "SOLO"]);
    expect(result.orders).toHaveLength(130);
    expect(result.returns.samples).toBe(1499);
    expect(metric(result, "total_return")).toBeCloseTo(0.0022, 4);
  });

  test("ends with the cash its fills left and its positions at the last closes", async () => {
    const { fills, equity } = await runOffline(import.meta.dirname);

    let money = 1_000_000;
    for (const { instrument, side, quantity, price, fee } of fills) {
      const held = (side === "buy" ? 1 : -1) * Number(quantity);
      money += held * (lastClose(instrument) - price) - fee;
    }
    expect(equity.at(-1)).toBeCloseTo(money, 4);
  });

  test("keeps each instrument to its share of the capital", async () => {
    const { fills } = await runOffline(import.meta.dirname);
    const largest = (symbol: string): number =>
      Math.max(
        ...fills
          .filter(({ instrument, side }) => instrument === symbol && side === "buy")
          .map(({ quantity, price }) => Number(quantity) * price),
      );

    // Equity stays between 0.9 and 1.2 million, so a buy shows its share.
    expect(largest("LEAD") / 1e6).toBeCloseTo(0.3, 1);
    expect(largest("PAIR") / 1e6).toBeCloseTo(0.2, 1);
  });
});
