import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { clientTls, loadConfig, type QmtlConfig } from "../config/index.ts";
import { systemClock } from "../control/index.ts";
import { connectTo } from "../rpc/index.ts";
import { DeclarationError, type Strategy } from "../strategy/index.ts";
import { type IdentifiedStrategy, identifyStrategy } from "./identify-strategy.ts";
import type { OfflineResult } from "./offline-result.ts";
import { runOffline } from "./offline-run.ts";
import type { OnlineEvent, OnlineOptions, OnlineRun } from "./online-run.ts";
import { runOnline } from "./online-runner.ts";
import type { BacktestSeries } from "./online-submission.ts";
import type { OfflineOptions } from "./runner-options.ts";
import { FileSessionRecorder } from "./session-recorder.ts";
import type { StrategyClass } from "./strategy-module.ts";

/** How a strategy is run in a world. */
export interface RunOptions
  extends Omit<OnlineOptions, "config" | "backtest">,
    Pick<OfflineOptions, "returnsSource"> {
  /** Configuration file. @default `qmtl.yml`, then `qmtl.yaml` of the working directory */
  readonly configPath?: string | undefined;
  /** A configuration already loaded; wins over `configPath`. */
  readonly config?: QmtlConfig | undefined;
  /** File the strategy is written in, a path or `import.meta.url`. @default its class's `module` */
  readonly module?: string | undefined;
  /** Called with the rows done and in all while the declared history is backtested. */
  readonly onProgress?: ((rowsDone: number, rowsTotal: number) => void) | undefined;
  /**
   * File the session is recorded in, for `replaySession`. It is whole once `stop` or `done` has settled.
   * @default none
   */
  readonly record?: string | undefined;
}

/** An online run that ends with its scope: `await using run = await Runner.session(…)`. */
export interface OnlineSession extends OnlineRun, AsyncDisposable {}

/**
 * Backtests the declared history with the same execution model, hands the return series in with the graph, and runs
 * the strategy in a world. What was computed for the backtest stays here; the world judges the series alone. A strategy
 * with a tag query whose queues are not known here has no backtest to hand in. The backtest calls the strategy's callbacks
 * as any offline run does: of the one that was given, if it is an instance, and of one of its own, if it is a class.
 *
 * @throws {DeclarationError | CodeHashError | StrategyRunError | CsvError | ConfigError | ComputeError |
 * SessionRecordError | RangeError} the last without a `worldId`.
 */
export async function runInWorld(
  given: StrategyClass | Strategy,
  options: RunOptions,
): Promise<OnlineSession> {
  if (typeof options.worldId !== "string" || options.worldId === "") {
    throw new RangeError('worldId is needed: the world to run in, as in { worldId: "paper" }');
  }
  const { configPath, module, onProgress: _, returnsSource: __, record, ...online } = options;
  const config = options.config ?? loadConfig({ path: configPath });
  const { trade_mode, execution_domain } = config.sdk;
  if (trade_mode !== null) {
    const means = `sdk.execution_domain: ${execution_domain}`;
    options.onProblem?.(`sdk.trade_mode is an old name, read as ${means}; write that instead`);
  }
  const ofModule = module === undefined ? {} : { module };
  const history = await backtestOf(given, options, config);
  const identified = identifyStrategy(given, { worldId: options.worldId, ...ofModule });
  const how = { ...online, config, ...(history && { backtest: seriesOf(history) }) };
  const run =
    record === undefined
      ? await runOnline(identified, how)
      : await runRecorded(identified, how, record);
  return {
    get sessionId() {
      return run.sessionId;
    },
    done: run.done,
    status: () => run.status(),
    stop: () => run.stop(),
    [Symbol.asyncDispose]: () => run.stop(),
  };
}

/** The backtest of the declared history; undefined for a tag query whose queues are known only online. */
async function backtestOf(
  given: StrategyClass | Strategy,
  { worldId, module, onProgress, onProblem, returnsSource }: RunOptions,
  config: QmtlConfig,
): Promise<OfflineResult | undefined> {
  try {
    return await runOffline(given, {
      config,
      worldId,
      ...(module === undefined ? {} : { module }),
      ...(onProgress === undefined ? {} : { onProgress }),
      ...(onProblem === undefined ? {} : { onProblem }),
      ...(returnsSource === undefined ? {} : { returnsSource }),
    });
  } catch (failure) {
    const isOpen = failure instanceof DeclarationError && failure.reason === "TAG_QUERY_UNRESOLVED";
    if (!isOpen) throw failure;
    onProblem?.(`no backtest is handed in: ${failure.message}`);
    return undefined;
  }
}

/** A run whose end is the end of its record. */
async function runRecorded(
  identified: IdentifiedStrategy,
  options: OnlineOptions,
  file: string,
): Promise<OnlineRun> {
  const { config, worldId, apiKey, clock = systemClock } = options;
  const url = options.gatewayUrl ?? config.sdk.gateway_url;
  const call = { ...clientTls(config), timeoutMs: config.sdk.request_timeout_ms };
  const made =
    options.connection === undefined
      ? connectTo(url, { ...call, ...(apiKey === undefined ? {} : { apiKey }) })
      : undefined;
  let run: OnlineRun | undefined;
  let recorder: FileSessionRecorder;
  try {
    recorder = await FileSessionRecorder.open({
      file,
      config,
      worldId,
      strategyName: identified.strategy.name,
      strategyId: () => run?.status().strategyId ?? "",
      connection: options.connection ?? made!,
      clock,
    });
  } catch (failure) {
    made?.close();
    throw failure;
  }
  const finish = (): Promise<void> => recorder.finish().finally(() => made?.close());
  const onEvent = (event: OnlineEvent): void => {
    if (event.kind === "gate_opened") recorder.refresh();
    options.onEvent?.(event);
  };
  const tee: OnlineOptions["recorder"] = {
    bucket: (entry) => {
      recorder.bucket(entry);
      options.recorder?.bucket(entry);
    },
  };
  try {
    run = await runOnline(identified, { ...options, onEvent, recorder: tee });
  } catch (failure) {
    await finish().catch(() => {}); // the run's own failure is the one to tell
    throw failure;
  }
  const { done } = run;
  const recorded = done.then(finish, async (failure: unknown) => {
    await finish().catch(() => {}); // as above
    throw failure;
  });
  recorded.catch(() => {}); // whoever awaits neither `done` nor `stop` must not be brought down
  const started = run;
  return {
    get sessionId() {
      return started.sessionId;
    },
    done: recorded,
    status: () => started.status(),
    stop: () => started.stop().then(finish),
  };
}

/** The return series of a backtest as it travels; times are bucket ends, one per return. */
function seriesOf({ returns, returnTimesMs: ends }: OfflineResult): BacktestSeries {
  return {
    interval: durationFromMs(returns.intervalSeconds * 1_000),
    periodsPerYear: returns.periodsPerYear,
    startTime: timestampFromMs(ends[0] ?? 0),
    endTime: timestampFromMs(ends.at(-1) ?? 0),
    returns: Array.from(returns.returns),
    domain: ExecutionDomain.BACKTEST,
    bucketEndMs: Array.from(ends),
  };
}
