import { loadConfig, type QmtlConfig } from "../config/index.ts";
import type { Strategy } from "../strategy/index.ts";
import { identifyStrategy } from "./identify-strategy.ts";
import type { OfflineResult } from "./offline-result.ts";
import { runOffline } from "./offline-run.ts";
import type { OnlineOptions, OnlineRun } from "./online-run.ts";
import { runOnline } from "./online-runner.ts";
import type { BacktestSeries } from "./online-submission.ts";
import type { StrategyClass } from "./strategy-module.ts";

/** How a strategy is run in a world. */
export interface RunOptions extends Omit<OnlineOptions, "config" | "backtest"> {
  /** Configuration file. @default `qmtl.yml`, then `qmtl.yaml` of the working directory */
  readonly configPath?: string;
  /** A configuration already loaded; wins over `configPath`. */
  readonly config?: QmtlConfig;
  /** File the strategy is written in, a path or `import.meta.url`. @default its class's `module` */
  readonly module?: string;
  /** Called with the rows done and in all while the declared history is backtested. */
  readonly onProgress?: (rowsDone: number, rowsTotal: number) => void;
}

/** An online run that ends with its scope: `await using run = await Runner.session(…)`. */
export interface OnlineSession extends OnlineRun, AsyncDisposable {}

/**
 * Backtests the declared history with the same execution model, hands the return series in with the graph, and runs
 * the strategy in a world. What was computed for the backtest stays here; the world judges the series alone.
 *
 * @throws {DeclarationError | CodeHashError | StrategyRunError | CsvError | ConfigError | ComputeError}
 */
export async function runInWorld(
  given: StrategyClass | Strategy,
  options: RunOptions,
): Promise<OnlineSession> {
  const { configPath, module, onProgress, ...online } = options;
  const config = options.config ?? loadConfig({ path: configPath });
  const ofModule = module === undefined ? {} : { module };
  const history = await runOffline(given, {
    config,
    worldId: options.worldId,
    ...ofModule,
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  const identified = identifyStrategy(given, { worldId: options.worldId, ...ofModule });
  const run = await runOnline(identified, { ...online, config, backtest: seriesOf(history) });
  return {
    sessionId: run.sessionId,
    done: run.done,
    status: () => run.status(),
    stop: () => run.stop(),
    [Symbol.asyncDispose]: () => run.stop(),
  };
}

/** The return series of a backtest as it travels; times are bucket ends, one per return. */
function seriesOf({ returns, timesMs }: OfflineResult): BacktestSeries {
  const ends = timesMs.slice(timesMs.length - returns.samples);
  return {
    intervalSeconds: BigInt(returns.intervalSeconds),
    periodsPerYear: returns.periodsPerYear,
    fromMs: BigInt(ends[0] ?? 0),
    toMs: BigInt(ends.at(-1) ?? 0),
    returns: bytesOf(returns.returns),
    samples: returns.samples,
    source: "backtest",
    bucketEndMs: bytesOf(ends),
  };
}

/** Little-endian float64. */
function bytesOf(numbers: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(numbers.length * 8);
  const view = new DataView(bytes.buffer);
  for (let k = 0; k < numbers.length; k++) view.setFloat64(k * 8, numbers[k] ?? Number.NaN, true);
  return bytes;
}
