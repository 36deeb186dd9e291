import { compilePlan, type StepExecutor } from "@qmtl/core/dataflow";
import { bucketsSince } from "@qmtl/core/intervals";
import { isFlatByNow } from "../../signals/ended-signal.ts";
import { isBeyond } from "../../signals/held-signal.ts";
import { missingSource } from "../../signals/signal-source.ts";
import type { QueueReplica } from "../log/queue-replica.ts";
import type { MergedGraph, OnlineGraph, OnlineTarget } from "../session/graph.ts";
import type { RunReports } from "../session/run-reporter.ts";
import {
  type ComputedBucket,
  type ContextBucket,
  type EndedClock,
  type OnlineBucket,
  OnlineClocks,
  type SignalState,
} from "./clocks.ts";
import { shortHash } from "./hashes.ts";
import { type ComputedPast, computePast, isKept, isWhole, type PastParts } from "./history.ts";
import { InputValues } from "./input-values.ts";
import { evaluationsOf, RowExchange, reportDivergence } from "./row-exchange.ts";
import { pastFromSnapshots } from "./snapshot-history.ts";
import type { NodeState, SnapshotCache } from "./snapshots.ts";
import { difference, restoredExecutor } from "./takeover.ts";
import type { OnlineWiring } from "./wiring.ts";

interface ContextExecutorOptions {
  readonly graph: MergedGraph;
  readonly wiring: OnlineWiring;
  /** Queues of the computed nodes in this context. */
  readonly replicas: ReadonlyMap<string, QueueReplica>;
  /** Snapshots that the log confirms. */
  readonly cache: Pick<SnapshotCache, "states">;
  readonly reports: RunReports;
  readonly listener: ExecutorListener;
}

/** Receives what a context's executor computes. Implemented by `OnlineContext`. */
export interface ExecutorListener {
  /** Whether another bucket can be taken now. */
  readonly hasRoom: boolean;
  /** A bucket was computed. */
  take(bucket: ContextBucket): void;
  /** Evaluations of one bucket; `isFirst` is false for buckets that were computed here before. */
  evaluated(count: number, bucket: ContextBucket, isFirst: boolean): void;
  /** Evaluations were made privately, to take nodes over. */
  warmedUp(count: number): void;
  /** The past is needed from its first row, but a queue was read from a later one, or rows of it were freed. */
  completePast(): void;
}

/**
 * The nodes of strategies in one compute context, each computed once. Nodes whose leases this process holds are
 * computed and published; the rows of the others are read. Each bucket is stepped once, as soon as everything it needs
 * is effective.
 *
 * When the held nodes or the wiring change, the executor is rebuilt: the nodes are computed from their newest
 * snapshots, or from the private history and the effective source rows; rows of queues just claimed are compared with
 * their logs; and stepping continues from there.
 */
export class ContextExecutor {
  readonly #options: ContextExecutorOptions;
  #graph: MergedGraph;
  /** Rows that others may be ahead before a source is reported as late. */
  #staleRows: number;
  #rows: RowExchange;
  #wiring: OnlineWiring;
  #clocks: OnlineClocks;
  #executor: StepExecutor | undefined;
  #held: ReadonlySet<string> = new Set();
  /** Followed nodes whose queue begins after the next row: computed here until then, and not published. */
  #private: ReadonlySet<string> = new Set();
  /** End of the last bucket; NaN before the first restore, −∞ before the first bucket. */
  #endMs = Number.NaN;
  #doneMs = Number.NEGATIVE_INFINITY;
  #rewired: OnlineWiring | undefined;
  /** The executor does not fit the wiring or the held nodes, and rows must still be read to build one that does. */
  #mustRebuild = false;
  #isEnabled = false;
  #isStopped = false;
  #isPumping = false;
  /** Signals that have had a value, in the past or here. */
  readonly #warmSignals = new Set<string>();
  /** The next bucket was looked for last time, and may not be there; false while a claim or rows are waited for. */
  #isLooked = false;
  /** The next bucket, while it cannot be computed. */
  #waiting: OnlineBucket | undefined;

  constructor(options: ContextExecutorOptions) {
    this.#options = options;
    this.#graph = options.graph;
    this.#staleRows = staleRowsOf(options.graph);
    this.#wiring = options.wiring;
    this.#clocks = new OnlineClocks(options.wiring.inputs);
    this.#rows = new RowExchange(options);
  }

  /** Highest input row computed, of one strategy's inputs or of all; NaN before the first restore. */
  lastRow(member?: OnlineGraph): number {
    if (!this.isWarm) return Number.NaN;
    return member === undefined ? this.#clocks.row : this.#rowIn(member);
  }

  /** End of the last bucket, milliseconds; NaN before the first restore, −∞ before the first bucket. */
  get endMs(): number {
    return this.#endMs;
  }

  /** It has been restored and is ready for the next bucket. */
  get isWarm(): boolean {
    return !Number.isNaN(this.#endMs);
  }

  /** No bucket follows the last one. */
  get isAtEnd(): boolean {
    return this.isWarm && this.#rewired === undefined && this.#clocks.isAtEnd;
  }

  /** It continues from its last bucket and needs no earlier row, until the held nodes or the wiring change. */
  get isSettled(): boolean {
    return this.isWarm && !this.#mustRebuild && this.#rewired === undefined;
  }

  /** The parts of a past that ends at `endMs`, or at the last bucket if that is earlier. */
  partsUntil(endMs: number): PastParts {
    const clocks = new OnlineClocks(this.#wiring.inputs);
    clocks.standAt(Math.min(endMs, this.#endMs));
    return { wiring: this.#wiring, clocks, replicas: this.#options.replicas };
  }

  get heldCount(): number {
    return this.#held.size;
  }

  get followedCount(): number {
    return this.#options.replicas.size - this.#held.size;
  }

  /** Lets buckets be computed: the log was read and leases were requested once. Once it is stopped, nothing does. */
  enable(): void {
    this.#isEnabled = !this.#isStopped;
  }

  stop(): void {
    this.#isEnabled = false;
    this.#isStopped = true;
  }

  /** Uses another wiring, and only these strategies, from the next bucket on. */
  rewire(wiring: OnlineWiring, graph: MergedGraph = this.#graph): void {
    this.#rewired = wiring;
    if (graph === this.#graph) return;
    this.#graph = graph;
    this.#staleRows = staleRowsOf(graph);
    this.#rows = new RowExchange({ ...this.#options, graph });
  }

  /** Computes every bucket that is ready; to be called whenever anything changed. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    this.#isLooked = false;
    this.#waiting = undefined;
    try {
      while (this.#isEnabled && this.#prepare()) {
        const bucket = this.#clocks.next();
        if (bucket === undefined) this.#reportWait();
        if (bucket === undefined || !this.#canStep(bucket)) {
          this.#isLooked = true;
          this.#waiting = bucket;
          break;
        }
        this.#step(bucket);
      }
    } finally {
      this.#isPumping = false;
    }
  }

  /**
   * Queues whose next rows the next bucket lacks, and that this process may not continue; undefined while that is not
   * known. `needed` are needed even if what is held now does not rest on them.
   */
  excludedLacking(needed: ReadonlySet<QueueReplica>): readonly QueueReplica[] | undefined {
    if (!this.#isLooked) return undefined;
    const bucket = this.#waiting;
    if (bucket === undefined) return [];
    return [...this.#options.replicas].flatMap(([id, replica]) => {
      const row = bucket.rows.get(this.#wiring.clockOf.get(id) ?? "");
      if (row === undefined || !replica.isExcluded) return [];
      const isMissing = needed.has(replica) && replica.row(row) === undefined;
      return isMissing || this.#lacksRow(id, replica, row) ? [replica] : [];
    });
  }

  /** No strategy stops in silence: says which source it waits for, once others have gone on without it. */
  #reportWait(): void {
    const { reports } = this.#options;
    const rows = this.#staleRows;
    const late = this.#clocks.waitsFor(rows);
    if (late.length === 0) return;
    const names = late.join(", ");
    reports.problem(`waits for ${names}: other sources are ${rows} or more buckets ahead`);
  }

  /** State of a held node after the last row; undefined for a node that is not held or has no state. */
  stateOf(nodeId: string): NodeState | undefined {
    const executor = this.#executor;
    if (executor === undefined || !this.#held.has(nodeId)) return undefined;
    const state = executor.save(executor.handle(nodeId));
    if (state.length === 0) return undefined;
    return { row: this.#rowOf(nodeId), hash: shortHash(state), state };
  }

  /** Last row of a node's clock. */
  #rowOf(nodeId: string): number {
    return this.#clocks.lastRow(this.#wiring.clockOf.get(nodeId) ?? "");
  }

  /** Makes the executor fit the held nodes and the wiring; false while a claim, a window or rows must be waited for. */
  #prepare(): boolean {
    const { replicas } = this.#options;
    let heldCount = 0;
    let isSame = !this.#mustRebuild && this.#executor !== undefined && this.#rewired === undefined;
    for (const { phase, identity } of replicas.values()) {
      if (phase === "CLAIMED") return false;
      if (phase !== "RESTORING" && phase !== "HOLDING") continue;
      heldCount++;
      isSame &&= phase === "HOLDING" && this.#held.has(identity.nodeId);
    }
    if (isSame && heldCount === this.#held.size && !this.#isPrivateDone()) return true;
    const held = [...replicas.values()].filter((replica) => replica.isHeld);
    if (this.#rewired !== undefined) {
      // Rows sent under the old wiring must be in the log first: the past is taken from there.
      if (held.some((replica) => replica.inWindow > 0)) return false;
      this.#wiring = this.#rewired;
      this.#rewired = undefined;
      this.#mustRebuild = true;
      this.#clocks = new OnlineClocks(this.#wiring.inputs);
      if (this.isWarm) this.#clocks.standAt(this.#endMs);
    }
    return this.#rebuild(held);
  }

  #isPrivateDone(): boolean {
    for (const id of this.#private) {
      if (this.#options.replicas.get(id)!.firstRow <= this.#rowOf(id) + 1) return true;
    }
    return false;
  }

  #rebuild(held: readonly QueueReplica[]): boolean {
    const { reports, listener } = this.#options;
    const claimed = held.filter((replica) => replica.phase === "RESTORING");
    const endMs = this.#restoreMs(claimed);
    this.#clocks.standAt(endMs);
    const past = this.#past(held);
    if (past === undefined) {
      this.#mustRebuild = true;
      if (this.isWarm) this.#clocks.standAt(this.#endMs);
      listener.completePast();
      return false;
    }
    this.#mustRebuild = false;
    listener.warmedUp(past.evaluations);
    for (const replica of claimed) {
      // No log says which queues a query had found: its rows are not compared.
      if (this.#wiring.queries.has(replica.identity.nodeId)) continue;
      const problem = difference(past, replica, this.#rowOf(replica.identity.nodeId));
      if (problem === undefined) continue;
      replica.diverged(problem.row, problem.local, problem.log);
      reportDivergence(reports, replica, problem.row);
    }
    const kept = held.filter((replica) => replica.isHeld);
    this.#held = new Set(kept.map((replica) => replica.identity.nodeId));
    this.#private = this.#privateNodes();
    const { supplied, wanted } = this.#parts(this.#held, this.#private);
    const { runtime } = this.#wiring;
    const isEmpty = wanted.length === 0;
    const plan = isEmpty ? undefined : compilePlan({ graph: runtime, supplied, wanted });
    this.#executor = plan && restoredExecutor(plan, past, this.#clocks, this.#wiring.queries);
    this.#endMs = endMs;
    this.#noteWarm(past);
    for (const replica of claimed) if (replica.isHeld) replica.restored();
    const names = claimed
      .filter((replica) => replica.isHeld)
      .map((replica) => replica.identity.name);
    const { row } = this.#clocks;
    if (names.length > 0) {
      reports.event("takeover", `computes ${names.join(", ")} from row ${row + 1} on`, row);
    }
    return true;
  }

  #noteWarm({ columns }: ComputedPast): void {
    for (const { targets } of this.#graph.members) {
      for (const { signalId } of targets) {
        const [values] = columns.get(signalId)?.values ?? [];
        if (values?.some((value) => typeof value === "number" && !Number.isNaN(value)) === true)
          this.#warmSignals.add(signalId);
      }
    }
  }

  /** The past, from the newest snapshots or else from the first row; undefined while rows must still be read. */
  #past(held: readonly QueueReplica[]): ComputedPast | undefined {
    const { replicas, cache } = this.#options;
    const parts: PastParts = { wiring: this.#wiring, clocks: this.#clocks, replicas };
    if (!isKept(parts)) return undefined;
    const alone = this.#privateNodes(held);
    if (alone.size === 0) {
      const ids = new Set(held.map((replica) => replica.identity.nodeId));
      const { supplied, wanted } = this.#parts(ids, alone);
      const short = pastFromSnapshots(parts, cache.states, supplied, wanted);
      if (short !== undefined) return short;
    }
    return isWhole(parts) ? computePast(parts) : undefined;
  }

  #privateNodes(held?: readonly QueueReplica[]): ReadonlySet<string> {
    const alone = new Set<string>();
    for (const [id, replica] of this.#options.replicas) {
      const isHeld = held === undefined ? replica.isHeld : held.includes(replica);
      if (!isHeld && replica.isStarted && replica.firstRow > this.#rowOf(id) + 1) alone.add(id);
    }
    return alone;
  }

  #parts(
    held: ReadonlySet<string>,
    alone: ReadonlySet<string>,
  ): { readonly supplied: ReadonlySet<string>; readonly wanted: readonly string[] } {
    const { replicas } = this.#options;
    const supplied = new Set(this.#wiring.inputs.map(({ nodeId }) => nodeId));
    for (const id of replicas.keys()) if (!held.has(id) && !alone.has(id)) supplied.add(id);
    const wanted = new Set(held);
    for (const { targets } of this.#graph.members) {
      for (const { nodeId, signalId } of targets) wanted.add(nodeId).add(signalId);
    }
    return { supplied, wanted: [...wanted] };
  }

  /**
   * Bucket end to continue from: that of the last bucket, or an earlier one if the next row of a queue just claimed does
   * not end after it.
   */
  #restoreMs(claimed: readonly QueueReplica[]): number {
    const lacking = claimed.map(
      ({ identity, nextRow }) =>
        [this.#wiring.clockOf.get(identity.nodeId) ?? "", nextRow] as const,
    );
    if (!this.isWarm) return this.#clocks.availableMs(lacking);
    return lacking.length === 0
      ? this.#endMs
      : Math.min(this.#endMs, this.#clocks.availableMs(lacking));
  }

  /** Whether a followed node is needed at a row that its queue does not have. */
  #lacksRow(id: string, replica: QueueReplica, row: number): boolean {
    return (
      !this.#held.has(id) &&
      !this.#private.has(id) &&
      this.#executor?.plan.nodeIndex.has(id) === true &&
      replica.row(row) === undefined
    );
  }

  #canStep(bucket: OnlineBucket): boolean {
    const { replicas, listener } = this.#options;
    for (const [id, replica] of replicas) {
      const row = bucket.rows.get(this.#wiring.clockOf.get(id) ?? "");
      if (row === undefined) continue;
      if (this.#held.has(id)) {
        if (replica.room === 0 && row >= replica.nextProduced) return false;
      } else if (this.#lacksRow(id, replica, row)) return false;
    }
    return listener.hasRoom;
  }

  #step(bucket: OnlineBucket): void {
    const { listener } = this.#options;
    const executor = this.#executor;
    const { endMs } = bucket;
    const isFirst = endMs > this.#doneMs;
    let count = 0;
    if (executor !== undefined && this.#rows.push(executor, this.#wiring, bucket)) {
      const before = evaluationsOf(executor);
      executor.step(endMs);
      if (!this.#rows.publish(executor, this.#wiring, bucket, this.#held)) {
        // The bucket is computed once more, from the rows that the log has.
        this.#mustRebuild = true;
        return;
      }
      count = evaluationsOf(executor) - before;
    }
    const previousEndMs = this.#endMs;
    this.#clocks.advance(bucket);
    this.#endMs = endMs;
    this.#doneMs = Math.max(this.#doneMs, endMs);
    const ends = this.#clocks.ends(bucket);
    const times = { bucketEndMs: endMs, previousEndMs, ends };
    const parts = new Map(
      this.#graph.members.map((member) => [member, this.#part(member, times, bucket)]),
    );
    const done: ContextBucket = { ...times, row: this.#clocks.row, parts };
    listener.evaluated(count, done, isFirst);
    listener.take(done);
  }

  /** What a bucket is for one strategy. */
  #part(
    member: OnlineGraph,
    times: Pick<ComputedBucket, "bucketEndMs" | "previousEndMs" | "ends">,
    bucket: OnlineBucket,
  ): ComputedBucket {
    const { targets } = member;
    return {
      ...times,
      row: this.#rowIn(member),
      targets: targets.map((target) => this.#targetValue(target, times.bucketEndMs)),
      sizedRows: targets.map((target) => this.#sizedRow(target)),
      signals: targets.map((target) => this.#signalState(target, bucket)),
    };
  }

  /** Highest row of the inputs of a strategy: its streams, and what its tag queries found. */
  #rowIn({ sources, queries }: OnlineGraph): number {
    const { members } = this.#graph;
    if (members.length === 1 && sources.length === this.#graph.sources.length)
      return this.#clocks.row;
    const keys = new Set(sources.map(({ clock }) => clock.key));
    if (queries.length > 0) {
      const streams = new Set(this.#graph.sources.map(({ nodeId }) => nodeId));
      for (const { nodeId, clock } of this.#wiring.inputs)
        if (!streams.has(nodeId)) keys.add(clock.key);
    }
    return this.#clocks.rowOf(keys);
  }

  /** Value of a target at the current position. One whose clock has ended goes flat if it is to. */
  #targetValue({ nodeId, stale, intervalMs }: OnlineTarget, endMs: number): number {
    const clock = this.#wiring.clockOf.get(nodeId) ?? "";
    if (stale.then === "flat" && this.#clocks.isEnded(clock)) {
      const lastMs = this.#clocks.endMs(clock, this.#clocks.lastRow(clock));
      if (isFlatByNow(stale, lastMs, intervalMs, endMs)) return 0;
    }
    return this.#valueOf(nodeId);
  }

  #sizedRow({ nodeId, sizedRowOutput }: OnlineTarget): number {
    return sizedRowOutput < 0 ? Number.NaN : this.#valueOf(nodeId, sizedRowOutput);
  }

  #valueOf(nodeId: string, output = 0): number {
    const handle = this.#executor?.plan.nodeIndex.get(nodeId);
    return handle === undefined
      ? Number.NaN
      : (this.#executor?.value(handle, output) ?? Number.NaN);
  }

  #signalState(target: OnlineTarget, bucket: OnlineBucket): SignalState {
    const { nodeId, signalId, signalSources, intervalMs, bounds } = target;
    const clock = this.#wiring.clockOf.get(nodeId) ?? "";
    const isOpen = bucket.rows.has(clock);
    if (!isOpen && !this.#clocks.isEnded(clock)) return noBucket;
    const value = isOpen ? this.#valueOf(signalId) : Number.NaN;
    if (!Number.isNaN(value)) {
      this.#warmSignals.add(signalId);
      const isHeld = bounds !== undefined && isBeyond(bounds, value);
      return isHeld ? { kind: "value", beyond: value } : hasValue;
    }
    const ended = isOpen ? undefined : this.#endedClock(target, clock, bucket.endMs);
    if (ended?.intervals === 0) return noBucket;
    const values = new InputValues(this.#wiring.inputs, this.#clocks, bucket, intervalMs);
    const source = missingSource(signalSources, bucket.endMs, values);
    const isWarm = this.#warmSignals.has(signalId);
    return { kind: "missing", source, isWarm, ...(ended === undefined ? {} : { ended }) };
  }

  #endedClock({ signalId, intervalMs }: OnlineTarget, clock: string, nowMs: number): EndedClock {
    const lastMs = this.#clocks.endMs(clock, this.#clocks.lastRow(clock));
    const intervals = bucketsSince(lastMs, nowMs, intervalMs);
    const hadValue = !Number.isNaN(this.#valueOf(signalId));
    return { intervals, sinceMs: hadValue ? lastMs : Number.NaN };
  }
}

const noBucket: SignalState = { kind: "none" };
const hasValue: SignalState = { kind: "value" };

function staleRowsOf({ members }: MergedGraph): number {
  const targets = members.flatMap((member) => member.targets);
  return Math.min(...targets.map(({ stale }) => stale.after));
}
