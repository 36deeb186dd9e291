import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { metric, runOffline } from "../smoke/offline-run.ts";
import { tagMapText } from "./write-tag-map.ts";

const here = import.meta.dirname;

function closes(name: string): number[] {
  const [, ...rows] = readFileSync(join(here, "../data", name), "utf8")
    .trim()
    .split("\n");
  return rows.map((row) => Number(row.split(",")[4]));
}

describe("a tag query", () => {
  test("with any reads every stream that carries the tag", async () => {
    const result = await runOffline(here);

    const [lead, pair] = [closes("lead.csv"), closes("pair.csv")];
    const change = (prices: number[], row: number) => prices[row]! / prices[row - 20]! - 1;
    let row = 20;
    while ((change(lead, row) + change(pair, row)) / 2 < 0.01) row++;
    expect(result.fills[0]!.eventTimeMs).toBe(result.timesMs[row]); // decided on that close, filled at the next open
    expect(result.orders).toHaveLength(63);
    expect(metric(result, "sharpe")).toBeCloseTo(0.2097, 4);
  });

  test("with all reads those that carry every tag", async () => {
    const result = await runOffline(here, "large-only.ts");

    const lead = closes("lead.csv");
    let row = 20;
    while (lead[row]! / lead[row - 20]! - 1 < 0.01) row++;
    expect(result.fills[0]!.eventTimeMs).toBe(result.timesMs[row]);
    expect(metric(result, "sharpe")).toBeCloseTo(0.293, 4);
  });

  test("finds the streams the producers declare: the tag map is theirs", () => {
    expect(JSON.parse(readFileSync(join(here, "tag-map.json"), "utf8"))).toEqual(
      JSON.parse(tagMapText()),
    );
  });

  test("whose producers run too", async () => {
    const results = [
      await runOffline(here, "producers/lead.ts"),
      await runOffline(here, "producers/pair.ts"),
    ];

    expect(results.map(({ orders }) => orders.length)).toEqual([63, 58]);
  });
});
