import { fileURLToPath } from "node:url";
import { loadConfig, loadStrategy, Runner } from "@qmtl/sdk";

/** The part of a result that is kept: enough for a table, and to see that two runs were the same. */
export interface RunSummary {
  readonly strategy: string;
  readonly sharpe: number;
  readonly totalReturn: number;
  readonly orders: number;
  /** Equity at each close: every cent of the run. */
  readonly equity: Float64Array;
}

/** The strategies of this example. */
export const strategyNames = ["sma-trend", "pullback", "calm"] as const;

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Backtests one strategy of `strategies/`, by the name of its file. */
export async function runSummary(name: string): Promise<RunSummary> {
  const config = loadConfig({ path: here("../qmtl.yml") });
  const strategy = await loadStrategy(here(`../strategies/${name}.ts`));
  const { strategyName, metrics, orders, equity } = await Runner.offline(strategy, { config });
  return {
    strategy: strategyName,
    sharpe: metrics.get("sharpe") ?? Number.NaN,
    totalReturn: metrics.get("total_return") ?? Number.NaN,
    orders: orders.length,
    equity,
  };
}
