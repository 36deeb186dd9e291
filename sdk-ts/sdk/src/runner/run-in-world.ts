import { basename } from "node:path";
import { clientTls, loadConfig, type QmtlConfig } from "../config/index.ts";
import { systemClock } from "../control/index.ts";
import { type Connection, connectTo } from "../rpc/index.ts";
import { Strategy } from "../strategy/index.ts";
import { checkOptions, type OptionKeys } from "../strategy/option-keys.ts";
import { prepareSubmission, type SubmissionOptions, submissionKeys } from "./build-submission.ts";
import { checkWorker, type PreparedStrategy, runOnline, runWorker } from "./online/run-online.ts";
import type { OnlineOptions, OnlineRun, OnlineWorker } from "./online/session/online-run.ts";
import type { OnlineEvent } from "./online/session/run-reporter.ts";
import { FileSessionRecorder } from "./session-record/session-recorder.ts";
import { declareStrategy, type IdentifiedStrategy } from "./strategy-loading/identify-strategy.ts";
import { modulePathOf, type StrategyClass } from "./strategy-loading/strategy-module.ts";

/** How a strategy is run in a world. */
export interface RunOptions extends Omit<OnlineOptions, "config" | "backtest">, SubmissionOptions {
  /**
   * File in which the session is recorded, for `replaySession`. It is complete once `stop` or `done` has settled.
   * @default none
   */
  readonly record?: string | undefined;
}

const runKeys: OptionKeys<RunOptions> = {
  ...submissionKeys,
  onEvent: true,
  gatewayUrl: true,
  executionDomain: true,
  apiKey: true,
  recorder: true,
  clock: true,
  connection: true,
  loadRows: true,
  sessionId: true,
  record: true,
};

/** How strategies are run in a world, in one process. */
export interface WorkerOptions extends Omit<RunOptions, "module" | "record" | "recorder"> {}

const { module: _module, record: _record, recorder: _recorder, ...workerKeys } = runKeys;

/** A worker that ends with its scope: `await using worker = await Runner.worker(…)`. */
export interface WorkerSession extends OnlineWorker, AsyncDisposable {}

/** An online run that ends with its scope: `await using run = await Runner.session(…)`. */
export interface OnlineSession extends OnlineRun, AsyncDisposable {}

/**
 * Backtests the declared history with the same execution model, submits the return series with the graph, and runs the
 * strategy in a world. What was computed for the backtest stays in this process; the world judges only the series. A
 * strategy with a tag query whose queues are not known here is submitted without a backtest. The backtest calls the
 * strategy's callbacks as any offline run does: those of the given instance, or of an instance of its own if a class
 * was given.
 *
 * @param given a class that extends `Strategy`, or an instance of one
 * @param options the world to run in, the only required option, and how
 * @throws {DeclarationError | CodeHashError | StrategyRunError | CsvError | ConfigError | ComputeError |
 * SessionRecordError | RangeError} the last without a `worldId`.
 */
export async function runInWorld(
  given: StrategyClass | Strategy,
  options: RunOptions,
): Promise<OnlineSession> {
  checkOptions("Runner.run", options, runKeys);
  const {
    configPath: _,
    module: __,
    onProgress: ___,
    accountId: ____,
    record,
    ...online
  } = options;
  const config = configOf(options);
  const { identified, backtest } = await withConnection(options, config, (connection) =>
    prepareSubmission(given, { ...options, config, connection }),
  );
  const how = { ...online, config, ...(backtest && { backtest }) };
  const run =
    record === undefined
      ? await runOnline(identified, how)
      : await runRecorded(identified, how, record);
  return endingWithScope(run);
}

/**
 * Runs several strategies in a world in one process, as one session: nodes that several of them have are computed once,
 * and the end of a bucket is sent once, with the targets of all of them. Each is backtested and submitted as by
 * `Runner.run`. All are prepared before the first is submitted, so one that cannot be run lets none run. One that fails
 * later is taken out, and the others go on; `status` says why.
 *
 * @param given classes that extend `Strategy`, or instances, each with a name of its own
 * @param options the world to run in, the only required option, and how
 * @throws {DeclarationError | CodeHashError | StrategyRunError | CsvError | ConfigError | ComputeError | RangeError} as
 * `Runner.run`; the message begins with the file of the strategy. `STRATEGY_NAME_TAKEN` for two strategies of one name.
 */
export async function runStrategies(
  given: readonly (StrategyClass | Strategy)[],
  options: WorkerOptions,
): Promise<WorkerSession> {
  checkOptions("Runner.worker", options, workerKeys);
  const { configPath: _, onProgress: __, accountId: ___, ...online } = options;
  const config = configOf(options);
  const { worldId } = options;
  checkWorker(await Promise.all(given.map((one) => naming(one, () => nameOf(one, worldId)))));
  const prepared = await withConnection(options, config, async (connection) => {
    const all: PreparedStrategy[] = [];
    for (const one of given) {
      const how = { ...options, config, connection };
      all.push(await naming(one, () => prepareSubmission(one, how)));
    }
    return all;
  });
  const worker = await runWorker(prepared, { ...online, config });
  return endingWithScope(worker);
}

function endingWithScope<Status>(run: Omit<OnlineRun, "status"> & { status(): Status }) {
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

/** Name of a strategy, as its nodes are declared with it. */
function nameOf(given: StrategyClass | Strategy, worldId: string): string {
  return given instanceof Strategy ? given.name : declareStrategy(given, { worldId }).strategy.name;
}

/** Does something for one of several strategies: what it throws says which one, by its file or its name. */
async function naming<T>(given: StrategyClass | Strategy, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (failure) {
    const owner = given instanceof Strategy ? given.constructor : given;
    const path = typeof owner === "function" ? modulePathOf(owner, undefined) : undefined;
    const label = path === undefined ? nameIn(given) : basename(path);
    if (failure instanceof Error && !failure.message.startsWith(label))
      failure.message = `${label}: ${failure.message}`;
    throw failure;
  }
}

function nameIn(given: StrategyClass | Strategy): string {
  return given instanceof Strategy ? given.name : String(given?.name);
}

/** The configuration to run with. Names what is needed, and what is written in an old way. */
function configOf(options: SubmissionOptions): QmtlConfig {
  if (typeof options.worldId !== "string" || options.worldId === "") {
    throw new RangeError('worldId is needed: the world to run in, as in { worldId: "paper" }');
  }
  const config = options.config ?? loadConfig({ path: options.configPath });
  const { trade_mode, execution_domain } = config.sdk;
  if (trade_mode !== null) {
    const means = `sdk.execution_domain: ${execution_domain}`;
    options.onProblem?.(`sdk.trade_mode is an old name, read as ${means}; write that instead`);
  }
  return config;
}

type GatewayReach = Pick<OnlineOptions, "gatewayUrl" | "apiKey" | "connection">;

/** A new connection to the gateway of a run, without I/O yet. */
function connectionOf({ gatewayUrl, apiKey }: GatewayReach, config: QmtlConfig): Connection {
  const call = { ...clientTls(config), timeoutMs: config.sdk.request_timeout_ms };
  const key = apiKey === undefined ? {} : { apiKey };
  return connectTo(gatewayUrl ?? config.sdk.gateway_url, { ...call, ...key });
}

/** Does something with the connection that was given, or with one that is closed after it. */
async function withConnection<T>(
  options: GatewayReach,
  config: QmtlConfig,
  work: (connection: Pick<Connection, "client">) => Promise<T>,
): Promise<T> {
  if (options.connection !== undefined) return work(options.connection);
  const made = connectionOf(options, config);
  try {
    return await work(made);
  } finally {
    made.close();
  }
}

/** An online run that is recorded: its end also completes the record. */
async function runRecorded(
  identified: IdentifiedStrategy,
  options: OnlineOptions,
  file: string,
): Promise<OnlineRun> {
  const { config, worldId, clock = systemClock } = options;
  const made = options.connection === undefined ? connectionOf(options, config) : undefined;
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
    await finish().catch(() => {}); // the run's own failure is the one to report
    throw failure;
  }
  const { done } = run;
  const recorded = done.then(finish, async (failure: unknown) => {
    await finish().catch(() => {}); // as above
    throw failure;
  });
  recorded.catch(() => {}); // a process that awaits neither `done` nor `stop` must not be brought down
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
