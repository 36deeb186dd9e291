import type { Strategy } from "../strategy/index.ts";
import { runOffline } from "./offline/run-offline.ts";
import type { OnlineRun, OnlineWorker } from "./online/session/online-run.ts";
import type { OnlineSession, RunOptions, WorkerOptions, WorkerSession } from "./run-in-world.ts";
import type { StrategyClass } from "./strategy-loading/strategy-module.ts";

/** Runs strategies. */
export const Runner = {
  /** Backtests a strategy on files, with no server. See {@link runOffline}. */
  offline: runOffline,
  /** Runs a strategy in a world. See {@link run}. */
  run,
  /** The same as `run`, named for `await using`: the run ends with its scope. */
  session: run,
  /** Runs several strategies in a world in one process. See {@link worker}. */
  worker,
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
 * Runs several strategies in a world in one process, as one session: nodes that several of them have are computed once,
 * and the end of a bucket is sent once, with the targets of all of them. Each is backtested and submitted as by
 * `Runner.run`; all are prepared before the first is submitted. One that fails later is taken out, and the others go on.
 *
 * @param given classes that extend `Strategy`, or instances, each with a name of its own
 * @param options the world to run in, the only required option, and how
 * @returns the worker, once its strategies are prepared and it was started; `done` settles when it ends
 * @throws {DeclarationError | CodeHashError | StrategyRunError | CsvError | ConfigError | ComputeError} naming the file
 * of the strategy that cannot be run
 */
async function worker(
  given: readonly (StrategyClass | Strategy)[],
  options: WorkerOptions,
): Promise<WorkerSession> {
  const { runStrategies } = await import("./run-in-world.ts");
  return runStrategies(given, options);
}

/**
 * Ends a run cleanly: none of its timers, sockets or leases remains. It may be called repeatedly or concurrently, while
 * the run waits for its gateway, after it has ended or failed, and with `undefined`.
 *
 * @param run the run, or the promise that `Runner.run` returned: a run that is still starting is ended once it has
 * started, and one that failed to start needs no ending
 */
async function shutdownRun(
  run: OnlineRun | OnlineWorker | Promise<OnlineRun | OnlineWorker> | undefined,
): Promise<void> {
  const begun = await Promise.resolve(run).catch(() => undefined);
  await begun?.stop();
}
