import type { Strategy } from "../strategy/index.ts";
import { runOffline } from "./offline/run-offline.ts";
import type { OnlineRun } from "./online/session/online-run.ts";
import type { OnlineSession, RunOptions } from "./run-in-world.ts";
import type { StrategyClass } from "./strategy-loading/strategy-module.ts";

/** Runs strategies. */
export const Runner = {
  /** Backtests a strategy on files, with no server. See {@link runOffline}. */
  offline: runOffline,
  /** Runs a strategy in a world. See {@link run}. */
  run,
  /** The same as `run`, named for `await using`: the run ends with its scope. */
  session: run,
  /** Ends a run cleanly. See {@link shutdownRun}. */
  shutdown: shutdownRun,
} as const;

/**
 * Backtests the declared history with the same execution model, submits the return series with the graph, and runs the
 * strategy in a world. What was computed for the backtest stays in this process; the world judges only the series.
 *
 * @param given a class that extends `Strategy`, or an instance of one
 * @param options the world to run in, the only required option, and how
 * @returns the run, once it has been submitted and started; `done` settles when it ends
 * @throws {DeclarationError | CodeHashError | StrategyRunError | CsvError | ConfigError | ComputeError |
 * SessionRecordError}
 */
async function run(given: StrategyClass | Strategy, options: RunOptions): Promise<OnlineSession> {
  // Loaded here: a backtest calls nobody, and should not pay for loading clients.
  const { runInWorld } = await import("./run-in-world.ts");
  return runInWorld(given, options);
}

/**
 * Ends a run cleanly: none of its timers, sockets or leases remains. It may be called repeatedly or concurrently, while
 * the run waits for its gateway, after it has ended or failed, and with `undefined`.
 *
 * @param run the run, or the promise that `Runner.run` returned: a run that is still starting is ended once it has
 * started, and one that failed to start needs no ending
 */
async function shutdownRun(run: OnlineRun | Promise<OnlineRun> | undefined): Promise<void> {
  const begun = await Promise.resolve(run).catch(() => undefined);
  await begun?.stop();
}
