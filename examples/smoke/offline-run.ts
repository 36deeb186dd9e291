import { join } from "node:path";
import {
  loadConfig,
  loadStrategy,
  type OfflineOptions,
  type OfflineResult,
  Runner,
} from "@qmtl/sdk";

/** Backtests a strategy file of an example with the example's own configuration, as `qmtl run FILE --offline` does. */
export async function runOffline(
  folder: string,
  file = "strategy.ts",
  options: OfflineOptions = {},
): Promise<OfflineResult> {
  const config = loadConfig({ path: join(folder, "qmtl.yml"), env: {} });
  return Runner.offline(await loadStrategy(join(folder, file)), { config, ...options });
}

/** A metric of a run; every metric of the examples has a value. */
export function metric(result: OfflineResult, name: string): number {
  const value = result.metrics.get(name);
  if (value === undefined) throw new Error(`${result.strategyName} has no ${name}`);
  return value;
}

/** Names of a run's nodes, inputs before readers. */
export function nodeNames(result: OfflineResult): string[] {
  return result.nodes.map(({ name }) => name);
}
