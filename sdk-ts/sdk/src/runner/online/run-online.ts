import type { ExecutionDomain } from "@qmtl/core/gate";
import { pause, reconnectDelayMs, systemClock, TicketKeeper } from "../../control/index.ts";
import type { IdentifiedStrategy } from "../strategy-loading/identify-strategy.ts";
import { StrategyRunError } from "../strategy-loading/strategy-run-error.ts";
import { coverRunning } from "./covered-strategies.ts";
import { HostedStrategy } from "./orders/hosted-strategy.ts";
import { type RunCounts, RunParts } from "./run-parts.ts";
import { ConnectionMonitor } from "./session/connection-monitor.ts";
import { endAll } from "./session/end-parts.ts";
import { FeedCache, loadReplayRows, mergeOnlineGraphs, onlineGraph } from "./session/graph.ts";
import { type OngoingRun, type RunClock, RunTasks, StartedClock } from "./session/ongoing-run.ts";
import {
  type HostedStatus,
  noEvaluations,
  type OnlineOptions,
  type OnlineRun,
  type OnlineWorker,
  type RunStatus,
  type WorkerStatus,
} from "./session/online-run.ts";
import { type ReportOptions, RunReporter } from "./session/run-reporter.ts";
import { type OnlineServices, onlineServices } from "./session/services.ts";
import {
  type BacktestSeries,
  isOutage,
  type SubmittedGraph,
  submissionRequest,
  submitGraph,
} from "./session/submission.ts";

/** A strategy that is to be run, and the return series of its backtest. */
export interface PreparedStrategy {
  readonly identified: IdentifiedStrategy;
  readonly backtest: BacktestSeries | undefined;
}

/** Largest number of strategies of one worker: a ticket names no more. */
const workerStrategiesMax = 1_000;
/** Largest number of targets of all strategies of a worker: a call states no more. */
const workerTargetsMax = 4_096;
/** Submissions under way at a time. */
const submissionsMax = 4;

/**
 * Runs a strategy online in one world: submits its graph, computes the nodes that nobody else computes, follows the
 * others, and sends the gateway its targets at the end of each bucket. Returns as soon as the strategy and its files
 * are read; everything else happens in the background and continues through outages of the gateway, with the order gate
 * shut.
 *
 * @throws {StrategyRunError | CsvError} if strategy, configuration and files do not match.
 */
export async function runOnline(
  identified: IdentifiedStrategy,
  options: OnlineOptions,
): Promise<OnlineRun> {
  const run = await hostedRun([{ identified, backtest: options.backtest }], options, () => options);
  return {
    get sessionId() {
      return run.sessionId;
    },
    done: run.done,
    status: () => run.onlyStatus(),
    stop: () => run.stop(),
  };
}

/**
 * Runs several strategies online in one world as one session: their graphs are merged, so that a node that several of
 * them have is computed and published once, and the end of a bucket is sent once, with the targets of all of them. A
 * strategy that fails is taken out, and the others go on.
 *
 * @throws {StrategyRunError | CsvError} as {@link runOnline}; `STRATEGY_NAME_TAKEN` if two of them have one name.
 */
export async function runWorker(
  strategies: readonly PreparedStrategy[],
  options: OnlineOptions,
): Promise<OnlineWorker> {
  const run = await hostedRun(strategies, options, (strategy) => ({
    onEvent: (event) => options.onEvent?.({ ...event, strategy }),
    onProblem: (problem) => options.onProblem?.(`${strategy}: ${problem}`),
  }));
  return {
    get sessionId() {
      return run.sessionId;
    },
    done: run.done,
    status: () => run.status(),
    stop: () => run.stop(),
  };
}

async function hostedRun(
  prepared: readonly PreparedStrategy[],
  options: OnlineOptions,
  reportingOf: (name: string) => ReportOptions,
): Promise<HostedRun> {
  checkWorker(prepared.map(({ identified }) => identified.strategy.name));
  const { config } = options;
  const cache = new FeedCache(options.loadRows ?? ((source) => loadReplayRows(config, source)));
  const run = new HostedRun(options);
  for (const { identified, backtest } of prepared) {
    const graph = await onlineGraph(identified, config, cache);
    run.add({ graph, backtest }, reportingOf(identified.strategy.name));
  }
  run.start();
  return run;
}

/**
 * Refuses strategies that one worker cannot run.
 *
 * @throws {StrategyRunError} `STRATEGY_NAME_TAKEN`, `WORKER_SIZE`
 */
export function checkWorker(names: readonly string[]): void {
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) {
    const fix = "each strategy of a worker needs a name of its own";
    const message = `two strategies are named "${twice}": ${fix}`;
    throw new StrategyRunError("STRATEGY_NAME_TAKEN", message);
  }
  if (names.length > 0 && names.length <= workerStrategiesMax) return;
  const message = `a worker runs 1 to ${workerStrategiesMax} strategies, and not ${names.length}`;
  throw new StrategyRunError("WORKER_SIZE", message);
}

/** How long a stop waits for the end of the last rows, milliseconds. */
const stopWaitMs = 2_000;

/** Strategies of one process in one world, from their submission to their end. */
class HostedRun implements OngoingRun {
  readonly done: Promise<void>;
  readonly #strategies: HostedStrategy[] = [];
  readonly #options: OnlineOptions;
  readonly #clock: RunClock;
  readonly #services: OnlineServices;
  readonly #counters: RunCounts = { evaluations: noEvaluations(), reconnects: 0 };
  readonly #tickets: TicketKeeper;
  readonly #tasks: RunTasks;
  readonly #reporter: RunReporter;
  readonly #connection: ConnectionMonitor;
  readonly #domainMax: ExecutionDomain | null;
  readonly #stopping = new AbortController();
  #parts: RunParts | undefined;
  #isMoving = false;
  #mustMoveAgain = false;
  #stopped: Promise<void> | undefined;
  #settle: { resolve(): void; reject(error: unknown): void } | undefined;

  constructor(options: OnlineOptions) {
    this.#options = options;
    const { executionDomain, worldId, sessionId } = options;
    this.#domainMax =
      executionDomain === undefined ? options.config.sdk.execution_domain : executionDomain;
    this.#services = onlineServices(options);
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // A caller that never looks at `done` must not bring the process down.
    this.done.catch(() => {});
    const clock = new StartedClock(options.clock ?? systemClock);
    this.#clock = clock;
    const reports = new RunReporter(options, clock, this.#stopping.signal);
    this.#reporter = reports;
    this.#tasks = new RunTasks(reports);
    this.#connection = new ConnectionMonitor(this.#services.url, clock, reports);
    const { control } = this.#services;
    this.#tickets = new TicketKeeper({ control, clock, worldId, sessionId });
  }

  /** Id of the session, as the gateway assigned it; empty before its first ticket. */
  get sessionId(): string {
    return this.#tickets.sessionId;
  }

  /** Adds a strategy, before the start. */
  add(
    { graph, backtest }: Pick<HostedStrategy, "graph" | "backtest">,
    reporting: ReportOptions,
  ): void {
    const { evaluations } = this.#counters;
    const { signal: ending } = this.#stopping;
    const isOwn = reporting === this.#options;
    const reports = isOwn ? this.#reporter : new RunReporter(reporting, this.#clock, ending);
    const base = { graph, backtest, reports, evaluations, run: this.#options };
    const hosted = { ...base, services: this.#services, clock: this.#clock };
    this.#strategies.push(new HostedStrategy(hosted));
  }

  /**
   * Begins the run; everything happens in the background.
   *
   * @throws {StrategyRunError} if the strategies cannot be run together
   */
  start(): void {
    const graphs = this.#strategies.map(({ graph }) => graph);
    mergeOnlineGraphs(graphs);
    const targets = graphs.reduce((sum, graph) => sum + graph.targets.length, 0);
    if (graphs.length > 1 && targets > workerTargetsMax) {
      const message = `the strategies have ${targets} targets; those of a worker ${workerTargetsMax} at most`;
      throw new StrategyRunError("WORKER_SIZE", message);
    }
    this.#run().catch((error: unknown) => this.fail(error));
  }

  /** Status of the run of a single strategy. */
  onlyStatus(): RunStatus {
    const { strategies, ...process } = this.status();
    const { name: _, failure: __, ...own } = strategies[0]!;
    return { ...process, ...own };
  }

  status(): WorkerStatus {
    const { swap, sources: all } = this.#parts ?? {};
    const contexts = (swap?.current ?? []).flatMap(({ compute }) => compute ?? []);
    const sources = [...(all?.replicas.values() ?? [])];
    const held = sources.filter((replica) => replica.isHeld).length;
    const heldNodes = contexts.reduce((sum, { heldCount }) => sum + heldCount, 0);
    const followed = contexts.reduce((sum, { followedCount }) => sum + followedCount, 0);
    return {
      connection: this.#connection.now,
      executionDomain: this.#domainMax,
      evaluations: { ...this.#counters.evaluations },
      holderOf: heldNodes + held,
      followed: followed + sources.length - held,
      reconnects: this.#counters.reconnects,
      strategies: this.#strategies.map((strategy) => this.#statusOf(strategy)),
    };
  }

  #statusOf(strategy: HostedStrategy): HostedStatus {
    const { name, failure, isOut, isArmed, strategyId } = strategy;
    const { gate } = this.#parts?.monitor ?? {};
    const isIn = gate !== undefined && !isOut;
    return {
      name,
      ...(failure === undefined ? {} : { failure: failure.message }),
      mode: isIn ? gate.mode(strategyId) : "validate",
      gate: isIn ? gate.phase(strategyId) : "SHUT",
      armed: isArmed,
      ...strategy.status(),
    };
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#end().then(
      () => {
        this.#reporter.event("stopped", "the run has ended");
        this.#settle?.resolve();
      },
      (error: unknown) => this.#settle?.reject(error),
    );
    return this.#stopped;
  }

  moveOn(): void {
    const parts = this.#parts;
    if (parts === undefined) return;
    if (this.#isMoving) {
      this.#mustMoveAgain = true;
      return;
    }
    this.#isMoving = true;
    do {
      this.#mustMoveAgain = false;
      this.guard(() => {
        parts.sources.pump();
        for (const context of parts.swap.contexts) {
          context.ask();
          context.pump();
        }
        parts.swap.warm();
      });
    } while (this.#mustMoveAgain);
    this.#isMoving = false;
    for (const source of feedsReached(parts)) parts.sets.enter(source);
    this.#endOfData(parts);
  }

  guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      const own = this.#running.filter((strategy) => strategy.hasFailedBy(error));
      if (own.length === 0) this.fail(error);
      else this.#takeOut(own, error);
    }
  }

  fail(error: unknown): void {
    if (this.#stopped !== undefined) return;
    const given = errorFrom(error);
    for (const strategy of this.#running) this.#tasks.track(strategy.takeOut(given));
    this.#failed(given);
  }

  /** Strategies that were not taken out. */
  get #running(): readonly HostedStrategy[] {
    return this.#strategies.filter(({ isOut }) => !isOut);
  }

  /** Takes strategies out, because of a failure of theirs; the run fails if none is left. */
  #takeOut(strategies: readonly HostedStrategy[], error: unknown): void {
    if (this.#stopped !== undefined) return;
    const given = errorFrom(error);
    for (const strategy of strategies) this.#tasks.track(strategy.takeOut(given));
    if (this.#running.length === 0) {
      this.#failed(given);
      return;
    }
    for (const { reports } of strategies) {
      reports.event("taken_out", `${given.message}; the other strategies go on`);
    }
    const parts = this.#parts;
    if (parts === undefined) return;
    parts.swap.takeOut(strategies);
    const [clock, signal] = [this.#clock, this.#stopping.signal];
    this.#tasks.track(
      coverRunning(parts, { tickets: this.#tickets, clock, signal }, () => this.#running),
    );
  }

  #failed(given: Error): void {
    this.#stopped = this.#end().then(
      () => this.#settle?.reject(given),
      () => this.#settle?.reject(given),
    );
  }

  async #run(): Promise<void> {
    const places = await this.#submitAll();
    if (places === undefined || this.#stopping.signal.aborted) return;
    this.#connection.reached();
    if (!(await this.#openSession(places.map(({ strategy }) => strategy)))) return;
    if (this.#stopped !== undefined) return;
    const parts = new RunParts(
      {
        run: this,
        options: this.#options,
        services: this.#services,
        clock: this.#clock,
        reports: this.#reporter,
        tasks: this.#tasks,
        counters: this.#counters,
        connection: this.#connection,
        domainMax: this.#domainMax,
        tickets: this.#tickets,
      },
      places,
    );
    this.#parts = parts;
    for (const { strategy, submitted } of places) {
      const { submission, isDuplicate } = submitted;
      const { strategyId, newNodes, reusedNodes } = submission;
      const before = isDuplicate ? " (submitted before)" : "";
      const nodes = `${newNodes} new nodes, ${reusedNodes} reused`;
      strategy.reports.event("submitted", `${strategyId}: ${nodes}${before}`);
    }
    parts.monitor.session.start();
    parts.link.start();
    parts.leases.start();
    for (const { strategy } of places) strategy.follow();
    await this.#begin(parts);
  }

  /** Submits every strategy, through outages. One that is refused is taken out. Undefined if the run was stopped. */
  async #submitAll(): Promise<
    readonly { readonly strategy: HostedStrategy; readonly submitted: SubmittedGraph }[] | undefined
  > {
    const submitted = new Map<HostedStrategy, SubmittedGraph>();
    const waiting = [...this.#strategies];
    const submitSome = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const strategy = next;
        try {
          const made = await this.#submit(strategy);
          if (made === undefined) return;
          strategy.submitted(made.submission.strategyId);
          submitted.set(strategy, made);
        } catch (failure) {
          this.#takeOut([strategy], failure);
        }
      }
    };
    await Promise.all(Array.from({ length: submissionsMax }, submitSome));
    if (this.#stopping.signal.aborted || this.#stopped !== undefined) return undefined;
    return this.#running.map((strategy) => ({ strategy, submitted: submitted.get(strategy)! }));
  }

  async #submit({ graph, backtest }: HostedStrategy): Promise<SubmittedGraph | undefined> {
    const { worldId } = this.#options;
    await graph.identified.strategy.onStart();
    return await submitGraph(submissionRequest(graph, worldId, backtest), {
      gateway: this.#services.gateway,
      system: this.#services.system,
      clock: this.#clock,
      worldId,
      signal: this.#stopping.signal,
      connection: this.#connection,
    });
  }

  /** Requests the session's first ticket, through outages; false if the run was stopped meanwhile. */
  async #openSession(strategies: readonly HostedStrategy[]): Promise<boolean> {
    const { signal } = this.#stopping;
    const sources = new Set(strategies.flatMap(({ graph }) => [...graph.feeds.keys()]));
    this.#tickets.cover(
      strategies.map(({ strategyId }) => strategyId),
      [...sources],
    );
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await this.#tickets.ensure(signal);
        return !signal.aborted;
      } catch (failure) {
        if (signal.aborted) return false;
        if (!isOutage(failure)) throw failure;
        this.#connection.lost(failure);
        await pause(this.#clock, reconnectDelayMs(failures + 1), signal);
      }
    }
    return false;
  }

  /** Reads snapshots and queues, then follows them. */
  async #begin({ sources, swap }: RunParts): Promise<void> {
    const contexts = swap.current;
    await Promise.all(contexts.map((context) => context.prepare()));
    if (this.#stopping.signal.aborted) return;
    sources.beginAt(contexts.map((context) => context.beginAtSnapshots()));
    await sources.read();
    const isTrue = await Promise.all(contexts.map((context) => context.read()));
    if (!isTrue.every(Boolean)) {
      await sources.readAgain();
      await Promise.all(contexts.map((context) => context.readAgain()));
    }
    if (this.#stopping.signal.aborted || this.#stopped !== undefined) return;
    sources.follow();
    for (const context of contexts) context.follow();
    this.moveOn();
  }

  #endOfData({ sender, swap }: RunParts): void {
    if (!sender.isIdle || this.#stopped !== undefined) return;
    const { current } = swap;
    if (current.length === 0 || !current.every(({ isEnded }) => isEnded)) return;
    const isSent = ({ endMs }: { readonly endMs: number }): boolean => endMs <= sender.endedMs;
    if (sender.decided !== undefined && !current.every(isSent)) return;
    const lastRow = Math.max(...current.map((context) => context.lastRow()));
    this.#reporter.event("data_end", "the feed has ended", lastRow);
    this.stop().catch(() => {});
  }

  #end(): Promise<void> {
    const parts = this.#parts;
    const isAway = () => this.#connection.now.state !== "connected";
    return endAll(this.#clock, isAway, [
      () => parts?.sender.stop(stopWaitMs),
      () => this.#stopping.abort(),
      () => parts?.sources.release(),
      () => parts?.sets.leave(),
      () => Promise.all(this.#strategies.map((strategy) => strategy.stop())),
      () => parts?.swap.stop(),
      () => parts?.leases.stop(),
      () => parts?.sources.stop(),
      () => parts?.link.stop(),
      () => this.#tasks.ended(),
      () => parts?.monitor.session.stop(),
      () => this.#services.close(),
      ...this.#strategies.map((strategy) => () => strategy.finish()),
    ]);
  }
}

/** Feeds whose rows every strategy computes from now on: from then on their barrier waits for this session. */
function feedsReached({ swap }: RunParts): ReadonlySet<string> {
  const contexts = swap.current;
  if (!contexts.every(({ isWarm }) => isWarm)) return new Set();
  const [first] = contexts;
  if (first !== undefined && contexts.length === 1) return first.feedsReached();
  return new Set(contexts.flatMap((context) => [...context.feedsReached()]));
}

function errorFrom(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
