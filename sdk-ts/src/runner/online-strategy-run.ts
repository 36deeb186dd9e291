import type { NodeLease } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import {
  ControlSession,
  OrderGate,
  type SdkClock,
  stopwatch,
  systemClock,
} from "../control/index.ts";
import { QmtlError } from "../rpc/index.ts";
import { type CarriedRecord, wireRecord } from "../sources/queue-row.ts";
import { OnlineContext, type RunPorts } from "./online-context.ts";
import { OnlineEdge } from "./online-edge.ts";
import type { OnlineGraph } from "./online-graph.ts";
import type { KeyPort, OnlineKey } from "./online-key.ts";
import { LeaseKeeper } from "./online-leases.ts";
import { Publisher } from "./online-publisher.ts";
import type { OnlineEvent, OnlineOptions, OnlineRun, RunStatus } from "./online-run.ts";
import { OnlineRunState } from "./online-run-state.ts";
import { type OnlineServices, onlineServices } from "./online-services.ts";
import { OnlineSources } from "./online-sources.ts";
import { keysOf, submitGraph } from "./online-submission.ts";
import { OnlineSwap } from "./online-swap.ts";

/** A source's Publish may be held at its barrier this long before it is repeated, milliseconds. */
const heldMsMax = 30_000;
/** How long a stop waits for the end of the last rows, milliseconds. */
const stopWaitMs = 2_000;

/** One strategy in one world: everything of a run tied together. */
export class OnlineStrategyRun implements OnlineRun {
  readonly sessionId: string;
  readonly done: Promise<void>;
  readonly #graph: OnlineGraph;
  readonly #options: OnlineOptions;
  readonly #clock: SdkClock;
  readonly #services: OnlineServices;
  readonly #state: OnlineRunState;
  readonly #ports: RunPorts;
  readonly #leases: LeaseKeeper;
  readonly #publishers = new Map<string, Publisher>();
  readonly #tasks = new Set<Promise<unknown>>();
  readonly #stopping = new AbortController();
  #strategyId = "";
  #gate: OrderGate | undefined;
  #control: ControlSession | undefined;
  #edge: OnlineEdge | undefined;
  #sources: OnlineSources | undefined;
  #swap: OnlineSwap | undefined;
  #isArmed = false;
  #lastTarget = 0;
  #isUp = true;
  #isPumping = false;
  #pumpAgain = false;
  #entering: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  #settle: { resolve(): void; reject(error: unknown): void } | undefined;

  constructor(graph: OnlineGraph, options: OnlineOptions, sessionId: string) {
    this.#graph = graph;
    this.#options = options;
    this.sessionId = sessionId;
    this.#clock = options.clock ?? systemClock;
    this.#services = onlineServices(options);
    this.#state = new OnlineRunState(graph, options);
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // A caller that never looks at `done` must not bring the process down.
    this.done.catch(() => {});
    const elapsedMs = stopwatch(this.#clock);
    const { queues, data } = this.#services;
    const onProblem = (problem: string): void => this.#problem(problem);
    this.#leases = new LeaseKeeper({
      queues,
      clock: this.#clock,
      sessionId,
      elapsedMs,
      onGranted: (key, lease) => this.#mayHold(key, lease),
      onAnswer: () => this.#leasesAnswered(),
      onProblem,
    });
    const keyPort: KeyPort = {
      elapsedMs,
      publish: (key, records) => this.#publish(key, records),
      release: (key, epoch, reason) => this.#leases.release(key, epoch, reason),
      snapshot: (key) => {
        for (const context of this.#swap?.contexts ?? []) {
          if (context.keys.get(key.identity.nodeId) === key) context.storeSnapshots([key]);
        }
      },
    };
    const track = (call: Promise<unknown>): void => this.#track(call);
    const clock = this.#clock;
    const leases = this.#leases;
    this.#ports = { data, queues, clock, sessionId, keyPort, leases, onProblem, track };
  }

  /** Begins; everything happens behind. */
  start(): void {
    this.#run().catch((error: unknown) => this.#fail(error));
  }

  status(): RunStatus {
    const context = this.#swap?.current.compute;
    const sources = [...(this.#sources?.keys.values() ?? [])];
    const held = sources.filter((key) => key.isHeld).length;
    const { row, target, sentOrders } = this.#state.edgeStatus(this.#edge);
    const { firstRow, bucketEndMs } = this.#graph.rows;
    return {
      strategyId: this.#strategyId,
      mode: this.#gate?.mode() ?? "validate",
      gate: this.#gate?.phase() ?? "SHUT",
      armed: this.#isArmed,
      row,
      bucketEnd: bucketEndMs[row - firstRow] ?? Number.NaN,
      target,
      wantedOrders: this.#state.wantedOrders,
      sentOrders,
      evaluations: { ...this.#state.evaluations },
      holderOf: (context?.heldCount ?? 0) + held,
      followed: (context?.followedCount ?? 0) + sources.length - held,
      reconnects: this.#state.reconnects,
    };
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#end().then(
      () => {
        this.#tell("stopped", "the run has ended");
        this.#settle?.resolve();
      },
      (error: unknown) => this.#settle?.reject(error),
    );
    return this.#stopped;
  }

  async #run(): Promise<void> {
    const { worldId, config, backtest } = this.#options;
    await this.#graph.identified.strategy.onStart();
    const submission = await submitGraph(this.#graph, {
      gateway: this.#services.gateway,
      clock: this.#clock,
      worldId,
      asOf: this.#graph.rows.fingerprint,
      backtest,
      requestId: this.sessionId,
      signal: this.#stopping.signal,
      onProblem: (problem) => this.#unreachable(problem),
    });
    if (submission === undefined || this.#stopping.signal.aborted) return;
    this.#strategyId = submission.strategyId;
    const { newNodes, reusedNodes } = submission;
    const nodes = `${newNodes} new nodes, ${reusedNodes} reused`;
    this.#tell("submitted", `${submission.strategyId}: ${nodes}`);
    const computeKeys = keysOf(submission.assignments, worldId);
    for (const { id, declared } of this.#graph.identified.graph.nodes) {
      if (computeKeys.has(id)) continue;
      throw new QmtlError("QUEUE_NOT_FOUND", `node "${declared.name}" was given no queue`);
    }
    const { speed = "max" } = config.sources[this.#graph.sourceName] ?? {};
    this.#sources = new OnlineSources({
      ports: this.#ports,
      graph: this.#graph,
      computeKeys,
      speed,
      onProduced: () => {
        this.#state.evaluations.shared++;
      },
      onChange: () => this.#pump(),
    });
    this.#openGate();
    this.#swap = new OnlineSwap(this.#openContext(computeKeys), {
      ports: this.#ports,
      open: (keys) => this.#openContext(keys),
      onRow: (row) => this.#edge?.push(row),
      onPhase: (message, row) => this.#tell("swap", message, row),
      onChange: () => this.#pump(),
    });
    this.#control?.start();
    this.#leases.start();
    await this.#sources.start();
    await this.#swap.current.start();
    this.#pump();
  }

  #openGate(): void {
    const { worldId } = this.#options;
    const { sessionId } = this;
    const strategyId = this.#strategyId;
    const clock = this.#clock;
    const gate = new OrderGate(clock, { sessionId, worldId, strategyId });
    const { control, orders } = this.#services;
    this.#gate = gate;
    const session = new ControlSession({
      control,
      clock,
      gate,
      sessionId,
      worldId,
      strategyId,
      listener: {
        onGate: (reason) => this.#gateChanged(reason),
        onSwap: (swap) => this.#guard(() => this.#swap?.phase(swap)),
        onConnection: (isUp, problem) => this.#connection(isUp, problem),
      },
    });
    this.#control = session;
    this.#edge = new OnlineEdge({
      orders,
      clock,
      gate,
      sessionId,
      worldId,
      strategyId,
      instrument: this.#graph.target?.instrument,
      source: this.#graph.sourceName,
      ticket: () => session.ticket,
      onTicketRefused: () => session.dropTicket(),
      onEffects: (effects) => session.follow(effects, ""),
      onDecided: (row, target, isShut) => this.#decided(row, target, isShut),
      counts: () => this.#state.counts(),
      onSent: (target, { row }, ids) =>
        this.#tell("target_sent", `target ${target}, ${ids.length} orders`, row),
      onRefused: (reason) => this.#tell("target_refused", reason),
      onEnded: (row) => {
        this.#guard(() => this.#swap?.ended(row));
        this.#pump();
      },
      onProblem: (problem) => this.#problem(problem),
    });
  }

  #openContext(keys: ReadonlyMap<string, string>): OnlineContext {
    const { evaluations } = this.#state;
    const context: OnlineContext = new OnlineContext({
      ports: this.#ports,
      graph: this.#graph,
      sourceKeys: this.#sources?.keys ?? new Map(),
      computeKeys: keys,
      onRow: (from, row) => this.#swap?.take(from, row),
      onEvaluated: (from, count, row, isFirst) => {
        if (!isFirst) evaluations.warmup += count;
        else if (this.#swap?.isExtra(from, row) === true) evaluations.swap += count;
        else evaluations.shared += count;
      },
      onWarmup: (count) => {
        evaluations.warmup += count;
      },
      onTakeover: (names, row) =>
        this.#tell("takeover", `computes ${names.join(", ")} from row ${row + 1} on`, row),
      onDiverged: (name, row) =>
        this.#tell("diverged", `node "${name}" differs from the log; it is followed`, row),
      hasRoom: (from) => (this.#edge?.hasRoom ?? false) && (this.#swap?.hasRoom(from) ?? false),
      onChange: () => this.#pump(),
    });
    return context;
  }

  #decided(row: Parameters<OnlineRunState["decided"]>[0], target: number, isShut: boolean): void {
    const before = this.#lastTarget;
    this.#lastTarget = target;
    this.#state.decided(row, target, isShut, this.#sources?.keys ?? new Map());
    const { target: node, identified } = this.#graph;
    if (node === undefined || target === before) return;
    const { name, instrument } = node;
    const signal = { node: name, instrument, target, row: row.row, bucketEndMs: row.bucketEndMs };
    Promise.resolve(identified.strategy.onSignal(signal)).catch((error: unknown) =>
      this.#problem(String(error)),
    );
  }

  /** A feed is held only from where it ended: another file is another feed. */
  #mayHold(key: OnlineKey, lease: NodeLease): boolean {
    if (!key.identity.isSource || lease.feedFingerprint === "") return true;
    if (lease.feedFingerprint === this.#graph.rows.fingerprint) return true;
    const { sourceName } = this.#graph;
    const message = `the file of source "${sourceName}" is not the one its queue was begun with`;
    this.#fail(new QmtlError("FEED_CHANGED", message));
    return false;
  }

  #leasesAnswered(): void {
    for (const context of this.#swap?.contexts ?? []) context.compute.enable();
    this.#pump();
  }

  #publish(key: OnlineKey, records: readonly CarriedRecord[]): void {
    const lane = key.identity.isSource ? key.computeKey : "computed";
    let publisher = this.#publishers.get(lane);
    if (publisher === undefined) {
      publisher = new Publisher({
        data: this.#services.data,
        clock: this.#clock,
        sessionId: this.sessionId,
        timeoutMs: key.identity.isSource ? heldMsMax : 10_000,
        ...(key.identity.isSource ? { batchMax: 1 } : {}),
        onRefused: (_record, reason) => {
          if (reason === "FEED_CHANGED") this.#fail(new QmtlError(reason, "the feed has changed"));
        },
        onProblem: (problem) => this.#problem(problem),
      });
      this.#publishers.set(lane, publisher);
    }
    publisher.send(records.map((record) => wireRecord(key.computeKey, record)));
  }

  /** Moves everything on that can move. */
  #pump(): void {
    if (this.#isPumping) {
      this.#pumpAgain = true;
      return;
    }
    this.#isPumping = true;
    this.#guard(() => {
      do {
        this.#pumpAgain = false;
        this.#sources?.pump();
        for (const context of this.#swap?.contexts ?? []) context.compute.pump();
        this.#swap?.warm();
      } while (this.#pumpAgain);
    });
    this.#isPumping = false;
    if (this.#swap?.current.compute.isWarm === true) this.#entering ??= this.#enter();
    this.#endOfData();
  }

  /** Enters the runner set of the feed, then stands for the feed itself: no row can pass unseen. */
  async #enter(): Promise<void> {
    const { worldId } = this.#options;
    const runner = {
      sessionId: this.sessionId,
      worldId,
      strategyIds: [this.#strategyId],
    };
    for (let failures = 0; !this.#stopping.signal.aborted; failures++) {
      try {
        const source = this.#graph.sourceName;
        await this.#services.queues.createReplayRunner({ source, runner });
        this.#sources?.claim();
        return;
      } catch (failure) {
        this.#problem(String(failure));
        await new Promise<void>((resolve) => {
          this.#clock.setTimer(resolve, Math.min(2_000, 100 * 2 ** failures));
        });
      }
    }
  }

  #endOfData(): void {
    const sources = this.#sources;
    const edge = this.#edge;
    if (sources === undefined || edge === undefined || !sources.isEnded || !edge.isIdle) return;
    const isDone = this.#swap?.current.compute.lastRow === sources.lastRow;
    const isEdgeDone = edge.endedRow === sources.lastRow || edge.decidedRow < 0;
    if (!isDone || !isEdgeDone || this.#stopped !== undefined) return;
    this.#tell("data_end", "the feed has ended", sources.lastRow);
    this.stop().catch(() => {});
  }

  #gateChanged(reason: string): void {
    const gate = this.#gate;
    if (gate === undefined) return;
    const refusal = gate.refusal(["long", "short"]);
    const isArmed = refusal === null;
    if (isArmed === this.#isArmed) return;
    this.#isArmed = isArmed;
    if (isArmed) {
      this.#tell("gate_opened", `orders may leave (${gate.mode()})`);
      this.#edge?.armed();
    } else this.#tell("gate_shut", [refusal, reason].filter((part) => part !== "").join(": "));
  }

  #connection(isUp: boolean, problem: string): void {
    if (!isUp) {
      this.#unreachable(problem);
      return;
    }
    const wasUp = this.#isUp;
    this.#isUp = true;
    this.#tell("connected", `control stream of ${this.#services.url}`);
    if (wasUp) return;
    this.#state.reconnects++;
    this.#edge?.reconnected();
    this.#leases.poke();
  }

  #unreachable(problem: string): void {
    if (!this.#isUp) return;
    this.#isUp = false;
    const { url } = this.#services;
    const fix = 'start it with "qmtl up", or set sdk.gateway_url or --gateway';
    this.#tell("unreachable", `no gateway at ${url} (${problem}): no order leaves; ${fix}`);
  }

  #problem(problem: string): void {
    if (this.#stopping.signal.aborted) return;
    this.#options.onProblem?.(problem);
  }

  #tell(kind: OnlineEvent["kind"], message: string, row?: number): void {
    this.#options.onEvent?.(
      row === undefined || row < 0 ? { kind, message } : { kind, message, row },
    );
  }

  #track(call: Promise<unknown>): void {
    const kept = call
      .catch((failure: unknown) => this.#problem(String(failure)))
      .finally(() => this.#tasks.delete(kept));
    this.#tasks.add(kept);
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
    Promise.resolve(this.#graph.identified.strategy.onError(given)).catch(() => {});
    this.#stopped = this.#end().then(
      () => this.#settle?.reject(given),
      () => this.#settle?.reject(given),
    );
  }

  async #end(): Promise<void> {
    await this.#edge?.stop(stopWaitMs);
    this.#stopping.abort();
    this.#sources?.release();
    await this.#entering;
    const { queues } = this.#services;
    if (this.#entering !== undefined) {
      const source = this.#graph.sourceName;
      const { sessionId } = this;
      await queues
        .deleteReplayRunner({ source, sessionId }, { timeoutMs: stopWaitMs })
        .catch(() => undefined);
    }
    await this.#swap?.stop();
    await this.#leases.stop();
    await Promise.all([...this.#publishers.values()].map((publisher) => publisher.stop()));
    await this.#sources?.stop();
    await Promise.all(this.#tasks);
    await this.#control?.stop();
    this.#services.close();
    await this.#graph.identified.strategy.onFinish();
  }
}
