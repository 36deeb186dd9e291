import { join } from "node:path";
import { loadConfig } from "@qmtl/sdk";
import { describe, expect, test } from "vitest";
import { metric, runOffline } from "../smoke/offline-run.ts";

describe("cross-market lag", () => {
  test("earns what the follower makes up of the leader's move a day later", async () => {
    const result = await runOffline(import.meta.dirname);

    expect(result.returns.samples).toBe(1499);
    expect(new Set(result.fills.map(({ instrument }) => instrument))).toEqual(new Set(["FOLLOW"]));
    expect(result.orders).toHaveLength(692);
    expect(metric(result, "sharpe")).toBeCloseTo(2.3939, 4);
    expect(result.buyAndHold.metrics.get("sharpe")).toBeCloseTo(0.372, 4);
  });

  test("finds nothing in a market that does not follow, and pays its costs for it", async () => {
    const config = loadConfig({ path: join(import.meta.dirname, "qmtl.yml"), env: {} });
    const { follow, lead } = config.sources;
    const solo = { ...follow!, file: follow!.file.replace("follow.csv", "solo.csv") };
    const other = { ...config, sources: { lead: lead!, follow: solo } };

    const result = await runOffline(import.meta.dirname, "strategy.ts", { config: other });

    expect(metric(result, "total_return")).toBeLessThan(0);
  });
});
