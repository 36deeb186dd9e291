import type { Strategy } from "../strategy/index.ts";
import { runOffline } from "./offline-run.ts";
import type { OnlineRun } from "./online-run.ts";
import type { OnlineSession, RunOptions } from "./run-in-world.ts";
import type { StrategyClass } from "./strategy-module.ts";

/** Runs strategies. */
export const Runner = {
  /** Backtests a strategy on files, with no server. See {@link runOffline}. */
  offline: runOffline,
  /** Runs a strategy in a world. See {@link run}. */
  run,
  /** The same, for `await using`: the run ends with its scope. */
  session: run,
  /** Ends a run cleanly. See {@link shutdownRun}. */
  shutdown: shutdownRun,
} as const;

/**
 * Backtests the declared history with the same execution model, hands the return series in with the graph, and runs the
 * strategy in a world. What was computed for the backtest stays here; the world judges the series alone.
 *
 * @throws {DeclarationError | CodeHashError | StrategyRunError | CsvError | ConfigError | ComputeError |
 * SessionRecordError}
 */
async function run(given: StrategyClass | Strategy, options: RunOptions): Promise<OnlineSession> {
  // Loaded here: a backtest calls nobody, and should not pay for loading clients.
  const { runInWorld } = await import("./run-in-world.ts");
  return runInWorld(given, options);
}

/**
 * Ends a run cleanly: no timer, socket or lease of it stays. It may be called twice, at the same time too, while the run
 * waits for its gateway, after it has ended or failed, and with nothing at all.
 *
 * @param run the run, or what `Runner.run` returned: one that is about to begin is ended when it has, and one that could
 * not begin has nothing to end
 */
async function shutdownRun(run: OnlineRun | Promise<OnlineRun> | undefined): Promise<void> {
  const begun = await Promise.resolve(run).catch(() => undefined);
  await begun?.stop();
}
