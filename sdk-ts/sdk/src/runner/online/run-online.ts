import type { ExecutionDomain } from "@qmtl/core/gate";
import { pause, reconnectDelayMs, systemClock, TicketKeeper } from "../../control/index.ts";
import type { IdentifiedStrategy } from "../strategy-loading/identify-strategy.ts";
import { StrategyCallbacks } from "./orders/strategy-callbacks.ts";
import { RunParts } from "./run-parts.ts";
import { RunState } from "./run-state.ts";
import { ConnectionMonitor } from "./session/connection-monitor.ts";
import { loadReplayRows, type OnlineGraph, onlineGraph } from "./session/graph.ts";
import { type OngoingRun, type RunClock, RunTasks, StartedClock } from "./session/ongoing-run.ts";
import type { OnlineOptions, OnlineRun, RunStatus } from "./session/online-run.ts";
import { RunReporter } from "./session/run-reporter.ts";
import { type OnlineServices, onlineServices } from "./session/services.ts";
import { isOutage, submissionRequest, submitGraph } from "./session/submission.ts";

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
  const { config } = options;
  const load = options.loadRows ?? ((source: string) => loadReplayRows(config, source));
  const graph = await onlineGraph(identified, config, load);
  const run = new OnlineStrategyRun(graph, options);
  run.start();
  return run;
}

/** How long a stop waits for the end of the last rows, milliseconds. */
const stopWaitMs = 2_000;

/** One strategy in one world, from its submission to its end. */
class OnlineStrategyRun implements OnlineRun, OngoingRun {
  readonly done: Promise<void>;
  readonly #graph: OnlineGraph;
  readonly #options: OnlineOptions;
  readonly #clock: RunClock;
  readonly #services: OnlineServices;
  readonly #state: RunState;
  readonly #tickets: TicketKeeper;
  readonly #tasks: RunTasks;
  readonly #reporter: RunReporter;
  readonly #connection: ConnectionMonitor;
  readonly #calls: StrategyCallbacks;
  readonly #domainMax: ExecutionDomain | null;
  readonly #stopping = new AbortController();
  #parts: RunParts | undefined;
  #isMoving = false;
  #mustMoveAgain = false;
  #stopped: Promise<void> | undefined;
  #settle: { resolve(): void; reject(error: unknown): void } | undefined;

  constructor(graph: OnlineGraph, options: OnlineOptions) {
    this.#graph = graph;
    this.#options = options;
    const { executionDomain, worldId, sessionId } = options;
    this.#domainMax =
      executionDomain === undefined ? options.config.sdk.execution_domain : executionDomain;
    this.#services = onlineServices(options);
    this.#state = new RunState(graph, options);
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
    this.#calls = new StrategyCallbacks(graph, options, this.#services, clock, reports);
    const { control } = this.#services;
    this.#tickets = new TicketKeeper({ control, clock, worldId, sessionId });
  }

  /** Id of the session, as the gateway assigned it; empty before its first ticket. */
  get sessionId(): string {
    return this.#tickets.sessionId;
  }

  /** Begins the run; everything happens in the background. */
  start(): void {
    this.#run().catch((error: unknown) => this.fail(error));
  }

  status(): RunStatus {
    const { swap, sources: all, monitor, sender, signals, strategyId = "" } = this.#parts ?? {};
    const context = swap?.current.compute;
    const sources = [...(all?.replicas.values() ?? [])];
    const held = sources.filter((replica) => replica.isHeld).length;
    return {
      strategyId,
      connection: this.#connection.now,
      executionDomain: this.#domainMax,
      mode: monitor?.gate.mode() ?? "validate",
      gate: monitor?.gate.phase() ?? "SHUT",
      armed: monitor?.isArmed ?? false,
      ...this.#state.senderStatus(sender),
      signalStale: signals?.missed ?? {},
      wantedOrders: this.#state.wantedOrders,
      evaluations: { ...this.#state.evaluations },
      holderOf: (context?.heldCount ?? 0) + held,
      followed: (context?.followedCount ?? 0) + sources.length - held,
      reconnects: this.#state.reconnects,
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
    this.guard(() => {
      do {
        this.#mustMoveAgain = false;
        parts.sources.pump();
        for (const context of parts.swap.contexts) {
          context.ask();
          context.compute?.pump();
        }
        parts.swap.warm();
      } while (this.#mustMoveAgain);
    });
    this.#isMoving = false;
    for (const source of parts.swap.current.feedsReached()) parts.sets.enter(source);
    this.#endOfData(parts);
  }

  guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error: unknown): void {
    if (this.#stopped !== undefined) return;
    const given = error instanceof Error ? error : new Error(String(error));
    Promise.resolve()
      .then(() => this.#graph.identified.strategy.onError(given))
      .catch((failure: unknown) => this.#reporter.callbackFailed("onError", failure));
    this.#stopped = this.#end().then(
      () => this.#settle?.reject(given),
      () => this.#settle?.reject(given),
    );
  }

  async #run(): Promise<void> {
    const { worldId, backtest } = this.#options;
    await this.#graph.identified.strategy.onStart();
    const request = submissionRequest(this.#graph, worldId, backtest);
    const submitted = await submitGraph(request, {
      gateway: this.#services.gateway,
      system: this.#services.system,
      clock: this.#clock,
      worldId,
      signal: this.#stopping.signal,
      connection: this.#connection,
    });
    if (submitted === undefined || this.#stopping.signal.aborted) return;
    this.#connection.reached();
    const { strategyId, newNodes, reusedNodes } = submitted.submission;
    if (!(await this.#openSession(strategyId)) || this.#stopped !== undefined) return;
    const parts = new RunParts(
      {
        run: this,
        graph: this.#graph,
        options: this.#options,
        services: this.#services,
        clock: this.#clock,
        reports: this.#reporter,
        tasks: this.#tasks,
        state: this.#state,
        calls: this.#calls,
        connection: this.#connection,
        domainMax: this.#domainMax,
        tickets: this.#tickets,
      },
      submitted,
    );
    this.#parts = parts;
    const before = submitted.isDuplicate ? " (submitted before)" : "";
    const nodes = `${newNodes} new nodes, ${reusedNodes} reused`;
    this.#reporter.event("submitted", `${strategyId}: ${nodes}${before}`);
    parts.monitor.session.start();
    parts.leases.start();
    this.#calls.follow(strategyId);
    await this.#begin(parts);
  }

  /** Requests the session's first ticket, through outages; false if the run was stopped meanwhile. */
  async #openSession(strategyId: string): Promise<boolean> {
    const { signal } = this.#stopping;
    this.#tickets.cover([strategyId], [...this.#graph.feeds.keys()]);
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
    const context = swap.current;
    await context.prepare();
    if (this.#stopping.signal.aborted) return;
    context.beginAtSnapshots();
    await sources.read();
    if (!(await context.read())) {
      await sources.readAgain();
      await context.readAgain();
    }
    if (this.#stopping.signal.aborted || this.#stopped !== undefined) return;
    sources.follow();
    context.follow();
    this.moveOn();
  }

  #endOfData({ sender, swap }: RunParts): void {
    if (!sender.isIdle || this.#stopped !== undefined) return;
    const { current } = swap;
    if (!current.isEnded) return;
    const isSenderDone = sender.decided === undefined || sender.endedMs === current.compute?.endMs;
    if (!isSenderDone) return;
    this.#reporter.event("data_end", "the feed has ended", current.lastRow);
    this.stop().catch(() => {});
  }

  #end(): Promise<void> {
    const parts = this.#parts;
    return endAll([
      () => parts?.sender.stop(stopWaitMs),
      () => this.#stopping.abort(),
      () => parts?.sources.release(),
      () => parts?.sets.leave(),
      () => this.#calls.stop(),
      () => parts?.swap.stop(),
      () => parts?.leases.stop(),
      () => parts?.publishers.stop(),
      () => parts?.sources.stop(),
      () => this.#tasks.ended(),
      () => parts?.monitor.session.stop(),
      () => this.#services.close(),
      () => this.#graph.identified.strategy.onFinish(),
    ]);
  }
}

/**
 * Ends parts one after the other, in this order; a step that fails does not prevent the others.
 *
 * @throws the first failure, after the last step
 */
async function endAll(steps: readonly (() => unknown)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (failure) {
      failures.push(failure);
    }
  }
  if (failures.length > 0) throw failures[0];
}
