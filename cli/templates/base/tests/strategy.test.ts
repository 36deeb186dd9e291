import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig, loadStrategy, type QmtlConfig, Runner, type StrategyClass } from "@qmtl/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { barsCsv, syntheticBars } from "../generators/synthetic-bars.ts";

const project = join(import.meta.dirname, "..");
let folder: string;
let config: QmtlConfig;
let strategy: StrategyClass;

beforeAll(async () => {
  // Bars of its own, so that the tests do not depend on what is in data/.
  folder = mkdtempSync(join(tmpdir(), "strategy-test-"));
  const file = join(folder, "bars.csv");
  writeFileSync(file, barsCsv(syntheticBars({ seed: 7 }), { signal: true }));
  config = loadConfig({ path: join(project, "qmtl.yml"), env: {} });
  const bars = config.sources.bars;
  if (bars === undefined) throw new Error("qmtl.yml has no source named bars");
  config = { ...config, sources: { ...config.sources, bars: { ...bars, file } } };
  strategy = await loadStrategy(join(project, "strategy.ts"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the strategy", () => {
  test("trades the bars and is judged by its returns", async () => {
    const result = await Runner.offline(strategy, { config });

    expect(result.orders.length).toBeGreaterThan(0);
    expect(result.returns.samples).toBeGreaterThan(60);
    expect(result.metrics.get("sharpe")).toBeTypeOf("number");
  });

  test("gives the same result every time", async () => {
    const first = await Runner.offline(strategy, { config });
    const second = await Runner.offline(strategy, { config });

    expect(second.equity).toEqual(first.equity);
    expect(second.nodes).toEqual(first.nodes);
  });

  test("knows nothing of later bars: cutting them off changes no earlier figure", async () => {
    const whole = await Runner.offline(strategy, { config, until: "2020-12-31" });
    const half = await Runner.offline(strategy, { config, until: "2019-06-28" });

    expect(half.equity.length).toBeLessThan(whole.equity.length);
    expect(whole.equity.subarray(0, half.equity.length)).toEqual(half.equity);
  });
});
