import { randomUUID } from "node:crypto";
import type { NodeLease } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { RecordFault } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { ExecutionDomain } from "@qmtl/core/gate";
import {
  pause,
  reconnectDelayMs,
  type SdkClock,
  stopwatch,
  systemClock,
  TicketKeeper,
} from "../control/index.ts";
import { QmtlError } from "../rpc/qmtl-error.ts";
import { endAll } from "./end-all.ts";
import type { OnlineGraph } from "./online-graph.ts";
import { LeaseKeeper } from "./online-leases.ts";
import type { OnlineOptions, OnlineRun, RunStatus } from "./online-run.ts";
import { OnlineRunState } from "./online-run-state.ts";
import { type OnlineServices, onlineServices } from "./online-services.ts";
import { isOutage, submitGraph } from "./online-submission.ts";
import { QueueReach } from "./queue-reach.ts";
import type { KeyPort, QueueReplica } from "./queue-replica.ts";
import { ReachWatch } from "./reach-watch.ts";
import { makeRunParts, type RunHost, type RunParts } from "./run-parts.ts";
import type { RunPorts } from "./run-ports.ts";
import { RunPublishers } from "./run-publishers.ts";
import { RunReporter } from "./run-reporter.ts";
import { RunTasks } from "./run-tasks.ts";
import { StrategyCalls } from "./strategy-calls.ts";

/** How long a stop waits for the end of the last rows, milliseconds. */
const stopWaitMs = 2_000;

/** One strategy in one world: everything of a run tied together. */
export class OnlineStrategyRun implements OnlineRun {
  readonly done: Promise<void>;
  readonly #graph: OnlineGraph;
  readonly #options: OnlineOptions;
  readonly #clock: SdkClock;
  readonly #services: OnlineServices;
  readonly #state: OnlineRunState;
  readonly #ports: RunPorts;
  readonly #tickets: TicketKeeper;
  readonly #leases: LeaseKeeper;
  readonly #publishers: RunPublishers;
  readonly #tasks: RunTasks;
  readonly #reporter: RunReporter;
  readonly #reach: ReachWatch;
  readonly #calls: StrategyCalls;
  readonly #domainMax: ExecutionDomain | null;
  readonly #stopping = new AbortController();
  #parts: RunParts | undefined;
  #isPumping = false;
  #pumpAgain = false;
  #stopped: Promise<void> | undefined;
  #settle: { resolve(): void; reject(error: unknown): void } | undefined;

  constructor(graph: OnlineGraph, options: OnlineOptions) {
    this.#graph = graph;
    this.#options = options;
    const { executionDomain } = options;
    this.#domainMax =
      executionDomain === undefined ? options.config.sdk.execution_domain : executionDomain;
    this.#clock = options.clock ?? systemClock;
    this.#services = onlineServices(options);
    this.#state = new OnlineRunState(graph, options);
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // A caller that never looks at `done` must not bring the process down.
    this.done.catch(() => {});
    const clock = this.#clock;
    const elapsedMs = stopwatch(clock);
    const { queues, data, url } = this.#services;
    const onProblem = (problem: string): void => this.#problem(problem);
    this.#tasks = new RunTasks(onProblem);
    this.#reporter = new RunReporter(options, () => clock.nowMs());
    this.#reach = new ReachWatch({
      url,
      nowMs: () => clock.nowMs(),
      tell: (kind, message) => this.#reporter.event(kind, message),
    });
    this.#calls = new StrategyCalls(graph, options, this.#services, clock, onProblem);
    const { control } = this.#services;
    const { worldId, sessionId } = options;
    this.#tickets = new TicketKeeper({ control, clock, worldId, sessionId });
    const tickets = this.#tickets;
    this.#leases = new LeaseKeeper({
      queues,
      clock,
      tickets,
      elapsedMs,
      onGranted: (key, lease) => this.#mayHold(key, lease),
      onAnswer: () => this.#leasesAnswered(),
      reach: new QueueReach((kind, message) => this.#reporter.event(kind, message)),
      onProblem,
    });
    this.#publishers = new RunPublishers({
      data,
      clock,
      tickets,
      onRefused: (fault) => this.#refused(fault),
      onProblem,
    });
    const keyPort: KeyPort = {
      elapsedMs,
      publish: (key, records) => this.#publishers.publish(key, records),
      release: (key, epoch, reason, stored) => this.#leases.release(key, epoch, reason, stored),
      snapshot: async (key) => {
        const contexts = this.#parts?.swap.contexts ?? [];
        const own = contexts.filter(({ keys }) => keys.get(key.identity.nodeId) === key);
        await Promise.all(own.map((context) => context.storeSnapshot(key)));
      },
    };
    const track = (call: Promise<unknown>): void => this.#tasks.track(call);
    const leases = this.#leases;
    this.#ports = {
      data,
      queues,
      clock,
      get sessionId() {
        return tickets.sessionId;
      },
      tickets,
      keyPort,
      leases,
      onProblem,
      onGone: (failure) => this.#fail(failure),
      track,
    };
  }

  /** As the gateway named the session; empty before its first ticket. */
  get sessionId(): string {
    return this.#tickets.sessionId;
  }

  /** Begins; everything happens behind. */
  start(): void {
    this.#run().catch((error: unknown) => this.#fail(error));
  }

  status(): RunStatus {
    const { swap, sources: all, watch, sender, strategyId = "" } = this.#parts ?? {};
    const context = swap?.current.compute;
    const sources = [...(all?.keys.values() ?? [])];
    const held = sources.filter((key) => key.isHeld).length;
    return {
      strategyId,
      connection: this.#reach.now,
      executionDomain: this.#domainMax,
      mode: watch?.gate.mode() ?? "validate",
      gate: watch?.gate.phase() ?? "SHUT",
      armed: watch?.isArmed ?? false,
      ...this.#state.senderStatus(sender),
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

  async #run(): Promise<void> {
    const { worldId, backtest } = this.#options;
    await this.#graph.identified.strategy.onStart();
    const submitted = await submitGraph(this.#graph, {
      gateway: this.#services.gateway,
      system: this.#services.system,
      clock: this.#clock,
      worldId,
      backtest,
      requestId: randomUUID(),
      signal: this.#stopping.signal,
      onOutage: (failure) => this.#reach.lost(failure),
    });
    if (submitted === undefined || this.#stopping.signal.aborted) return;
    this.#reach.reached();
    const { strategyId, newNodes, reusedNodes } = submitted.submission;
    if (!(await this.#openSession(strategyId))) return;
    const parts = makeRunParts(this.#host(), submitted);
    this.#parts = parts;
    const before = submitted.isDuplicate ? " (handed in before)" : "";
    const nodes = `${newNodes} new nodes, ${reusedNodes} reused`;
    this.#reporter.event("submitted", `${strategyId}: ${nodes}${before}`);
    parts.watch.session.start();
    this.#leases.start();
    this.#calls.follow(strategyId);
    await this.#begin(parts);
  }

  /** Asks for the session's first ticket, through outages; false when the run was stopped meanwhile. */
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
        this.#reach.lost(failure);
        await pause(this.#clock, reconnectDelayMs(failures + 1), signal);
      }
    }
    return false;
  }

  #host(): RunHost {
    return {
      graph: this.#graph,
      options: this.#options,
      ports: this.#ports,
      services: this.#services,
      state: this.#state,
      calls: this.#calls,
      reach: this.#reach,
      tickets: this.#tickets,
      domainMax: this.#domainMax,
      parts: () => this.#parts,
      tell: (kind, message, row) => this.#reporter.event(kind, message, row),
      guard: (work) => this.#guard(work),
      pump: () => this.#pump(),
    };
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
    this.#pump();
  }

  /** A feed is held only from where it ended: another file is another feed. */
  #mayHold(key: QueueReplica, lease: NodeLease): boolean {
    if (!key.identity.isSource || lease.feedFingerprint === "") return true;
    const { name } = key.identity;
    if (lease.feedFingerprint === this.#graph.feeds.get(name)?.fingerprint) return true;
    const message = `the file of source "${name}" is not the one its queue was begun with`;
    this.#fail(new QmtlError("FEED_CHANGED", message));
    return false;
  }

  /** A record of this session is not effective. What the fold will show anyhow is not told. */
  #refused(fault: RecordFault): void {
    if (fault === RecordFault.FEED_CHANGED) {
      this.#fail(new QmtlError("FEED_CHANGED", "the feed has changed"));
    } else if (fault === RecordFault.BLOCKED) {
      this.#problem("the log refuses a record: its queue is blocked");
    } else if (fault === RecordFault.MALFORMED) {
      this.#problem("the log refuses a record: it has not the shape of its queue");
    }
  }

  #leasesAnswered(): void {
    for (const context of this.#parts?.swap.contexts ?? []) context.compute?.enable();
    this.#pump();
  }

  /** Moves everything on that can move. */
  #pump(): void {
    const parts = this.#parts;
    if (parts === undefined) return;
    if (this.#isPumping) {
      this.#pumpAgain = true;
      return;
    }
    this.#isPumping = true;
    this.#guard(() => {
      do {
        this.#pumpAgain = false;
        parts.sources.pump();
        for (const context of parts.swap.contexts) {
          context.ask();
          context.compute?.pump();
        }
        parts.swap.warm();
      } while (this.#pumpAgain);
    });
    this.#isPumping = false;
    for (const source of parts.swap.current.feedsReached()) parts.sets.enter(source);
    this.#endOfData(parts);
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

  #problem(problem: string): void {
    if (!this.#stopping.signal.aborted) this.#reporter.problem(problem);
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#stopped !== undefined) return;
    const given = error instanceof Error ? error : new Error(String(error));
    Promise.resolve()
      .then(() => this.#graph.identified.strategy.onError(given))
      .catch((failure: unknown) => this.#reporter.problem(`onError failed: ${String(failure)}`));
    this.#stopped = this.#end().then(
      () => this.#settle?.reject(given),
      () => this.#settle?.reject(given),
    );
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
      () => this.#leases.stop(),
      () => this.#publishers.stop(),
      () => parts?.sources.stop(),
      () => this.#tasks.settled(),
      () => parts?.watch.session.stop(),
      () => this.#services.close(),
      () => this.#graph.identified.strategy.onFinish(),
    ]);
  }
}
