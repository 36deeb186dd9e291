import type { IdentifiedStrategy } from "./identify-strategy.ts";
import { onlineGraph } from "./online-graph.ts";
import { loadReplayRows } from "./online-rows.ts";
import type { OnlineOptions, OnlineRun } from "./online-run.ts";
import { OnlineStrategyRun } from "./online-strategy-run.ts";

/**
 * Runs a strategy online in one world: submits its graph, computes what nobody else computes, follows the rest, and
 * tells the gateway its targets at the end of each bucket. Returns as soon as the strategy and its files are read;
 * everything else happens behind, and goes on through outages of the gateway with the order gate shut.
 *
 * @throws {StrategyRunError | CsvError} when strategy, configuration and files do not fit.
 */
export async function runOnline(
  identified: IdentifiedStrategy,
  options: OnlineOptions,
): Promise<OnlineRun> {
  const { config } = options;
  const load = options.loadRows ?? ((source: string) => loadReplayRows(config, source));
  const graph = await onlineGraph(identified, config, load);
  const run = new OnlineStrategyRun(graph, options);
  run.start();
  return run;
}
