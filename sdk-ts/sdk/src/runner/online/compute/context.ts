import type { QueueRecord as WireRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { computedWindowMax } from "@qmtl/core/queues";
import type { SdkClock } from "../../../control/index.ts";
import { inputRowEndMs, lastInputRow } from "../log/input.ts";
import { QueueReader } from "../log/queue-reader.ts";
import { hostedBuild, QueueReplica } from "../log/queue-replica.ts";
import type { RunPorts } from "../log/run-ports.ts";
import type { OnlineSources } from "../log/sources.ts";
import type { TagListener, TagQueryTracker } from "../log/tag-query-tracker.ts";
import { type MergedGraph, mergeOnlineGraphs, type OnlineGraph } from "../session/graph.ts";
import type { ContextBucket } from "./clocks.ts";
import { ContextExecutor, type ExecutorListener } from "./context-executor.ts";
import { HolderWatch } from "./holder-watch.ts";
import { type NeededRows, RowRetention } from "./retention.ts";
import { snapshotFromRows, stateLengths } from "./snapshot-history.ts";
import { type NodeState, type NodeStates, SnapshotCache, SnapshotWriter } from "./snapshots.ts";
import { type OnlineWiring, wire } from "./wiring.ts";

interface OnlineContextOptions {
  readonly ports: RunPorts;
  /** The strategies that are computed here, and the streams of all strategies of the process. */
  readonly graph: MergedGraph;
  readonly sources: OnlineSources;
  /** Queues of the tag queries in this context. */
  readonly tags: TagQueryTracker;
  /** Compute key by node id, computed nodes only. */
  readonly computeKeys: ReadonlyMap<string, string>;
  readonly listener: ContextListener;
}

/** Receives what a context computes. Implemented by `ContextSwaps`. */
export interface ContextListener {
  /** Whether another bucket of a context can be taken now. */
  hasRoom(context: OnlineContext): boolean;
  /** A bucket was computed. */
  take(context: OnlineContext, bucket: ContextBucket): void;
  /** Evaluations of one bucket; `isFirst` is false for buckets that the context computed before. */
  evaluated(context: OnlineContext, count: number, bucket: ContextBucket, isFirst: boolean): void;
  /** Evaluations were made privately, to take nodes over. */
  warmedUp(count: number): void;
}

/** The nodes of strategies in one compute context, each once: their queues, the leases on them and the computation. */
export class OnlineContext implements ExecutorListener, NodeStates, TagListener {
  readonly #replicas: Map<string, QueueReplica>;
  readonly #options: OnlineContextOptions;
  readonly #byKey = new Map<string, QueueReplica>();
  /** Queues of strategies that were taken out. They are read until their last row is effective. */
  readonly #removed = new Set<QueueReplica>();
  #graph: MergedGraph;
  readonly #reader: QueueReader;
  readonly #snapshots: SnapshotWriter;
  readonly #watch: HolderWatch;
  readonly #stop = new AbortController();
  /** Queues whose leases are not requested yet, because it is not known where their rows begin. */
  readonly #unasked: Set<QueueReplica>;
  #cache: SnapshotCache | undefined;
  #wiring: OnlineWiring | undefined;
  #compute: ContextExecutor | undefined;
  #retention: RowRetention | undefined;
  #completing: Promise<void> | undefined;
  #isFollowing = false;
  /** Queues without whose next rows it cannot compute, so that it asks for no lease until they are there. */
  #standsBackFor: ReadonlySet<QueueReplica> = new Set();

  constructor(options: OnlineContextOptions) {
    const { ports, graph, computeKeys } = options;
    this.#options = options;
    this.#graph = graph;
    this.#replicas = new Map(
      graph.computed.map(({ id }) => [id, this.#makeReplica(id, computeKeys.get(id)!)] as const),
    );
    for (const replica of this.replicas.values()) this.#byKey.set(replica.computeKey, replica);
    this.#unasked = new Set(this.replicas.values());
    this.#snapshots = new SnapshotWriter(ports, this);
    this.#watch = new HolderWatch(ports);
    this.#reader = new QueueReader({
      data: ports.data,
      clock: ports.clock,
      keys: [...this.replicas.values()],
      link: ports.link,
      onRecords: (records) => this.#read(records),
      onProblem: (problem) => ports.reports.problem(problem),
      onGone: (failure) => ports.run.fail(failure),
    });
  }

  /** Queue of each computed node, by the node's id. */
  get replicas(): ReadonlyMap<string, QueueReplica> {
    return this.#replicas;
  }

  /** The strategies that are computed here. */
  get members(): readonly OnlineGraph[] {
    return this.#graph.members;
  }

  /** The computation; undefined before the context is prepared. */
  get compute(): ContextExecutor | undefined {
    return this.#compute;
  }

  /** The computation has been restored and is ready for the next bucket. */
  get isWarm(): boolean {
    return this.#compute?.isWarm === true;
  }

  /**
   * Computes every bucket that is ready; to be called whenever anything changed.
   *
   * @throws {QueueDivergedError} when nobody computes a node that the next bucket needs, and this build may not
   */
  pump(): void {
    this.#compute?.pump();
    const lacking = this.#compute?.excludedLacking(this.#standsBackFor);
    if (lacking === undefined) return;
    const own = lacking.length === 0 ? [] : [...this.#replicas.values()];
    const excluded = own.filter(({ isExcluded }) => isExcluded);
    const isLong = this.#watch.look(lacking, excluded);
    if (isLong !== this.#standsBackFor.size > 0) this.#standBack(isLong ? lacking : []);
  }

  /** Highest row computed, of one strategy's inputs or of all; NaN before the first restore. */
  lastRow(member?: OnlineGraph): number {
    return this.#compute?.lastRow(member) ?? Number.NaN;
  }

  /** Highest row of a strategy's streams that is in the log, whether or not it is computed; −1 for none. */
  newestRow({ sources }: OnlineGraph): number {
    const own = new Set(sources.map(({ nodeId }) => nodeId));
    const inputs = this.#options.sources.inputs.filter(({ nodeId }) => own.has(nodeId));
    return Math.max(-1, ...inputs.map((input) => lastInputRow(input) || -1));
  }

  /** End of the last bucket computed, milliseconds; NaN before the first restore. */
  get endMs(): number {
    return this.#compute?.endMs ?? Number.NaN;
  }

  /** Every input has ended, and all their rows are computed. */
  get isEnded(): boolean {
    const inputs = this.#wiring?.inputs ?? [];
    const isOver = inputs.length > 0 && inputs.every(({ replica }) => replica.isEnded);
    return isOver && this.#compute?.isAtEnd === true;
  }

  /**
   * Source entries whose rows this context computes from now on: its own once it is warm, and one that a query found
   * once its rows reach the last bucket computed.
   */
  feedsReached(): ReadonlySet<string> {
    const compute = this.#compute;
    if (compute?.isWarm !== true) return new Set();
    const { sources, tags } = this.#options;
    if (tags.inputs.length === 0) return sources.entries;
    const found = tags.inputs.filter((input) => {
      const reached = inputRowEndMs(input, lastInputRow(input));
      return compute.endMs === Number.NEGATIVE_INFINITY || reached >= compute.endMs;
    });
    const names = found.map(({ source }) => source).filter((source) => source !== "");
    return new Set([...sources.entries, ...names]);
  }

  /** Finds the queues of the tag queries and the snapshots to begin at. */
  async prepare(): Promise<void> {
    const { tags, ports } = this.#options;
    await tags.resolve(this);
    if (this.#stop.signal.aborted) return;
    const wiring = this.#wire();
    this.#wiring = wiring;
    const cache = new SnapshotCache({
      queues: ports.queues,
      clock: ports.clock,
      replicas: this.replicas,
      stateLengths: stateLengths(wiring),
      signal: this.#stop.signal,
      reports: ports.reports,
    });
    await cache.load();
    this.#cache = cache;
    this.#retention = new RowRetention(cache, (asking) => ports.tasks.track(asking));
    const { reports } = ports;
    const { replicas } = this;
    this.#compute = new ContextExecutor({
      graph: this.#graph,
      wiring,
      replicas,
      cache,
      reports,
      listener: this,
    });
  }

  /**
   * Makes the queues begin at the newest snapshots, so that only later rows are read; to be called before any reading.
   * Returns the first row that it needs of each clock, by the clock's key; undefined if it needs all.
   */
  beginAtSnapshots(): ReadonlyMap<string, number> | undefined {
    const wiring = this.#wiring;
    if (wiring === undefined || this.#cache === undefined) return undefined;
    if (this.#graph.queries.length > 0) return undefined;
    const from = snapshotFromRows(wiring, this.#cache.states);
    if (from === undefined) return undefined;
    for (const [id, replica] of this.replicas) {
      const row = from.get(wiring.clockOf.get(id) ?? "");
      if (row !== undefined) replica.beginAt(row);
    }
    return from;
  }

  /** Reads the records there are; false if a snapshot at which it began belongs to another history. */
  async read(): Promise<boolean> {
    await this.#reader.history();
    return this.#cache?.confirm() ?? true;
  }

  /** Discards what was read and reads everything from the first record. */
  async readAgain(): Promise<void> {
    for (const replica of this.replicas.values()) replica.restart();
    await this.read();
  }

  /** Requests the leases and follows new records. */
  follow(): void {
    if (this.#stop.signal.aborted) return;
    this.#reader.follow();
    this.#isFollowing = true;
    this.ask();
    // Nothing was requested, so no answer will start the computation.
    if (this.#unasked.size === this.replicas.size) this.#compute?.enable();
  }

  /** Requests the leases of the nodes whose first row is known. */
  ask(): void {
    if (!this.#isFollowing || this.#stop.signal.aborted || this.#unasked.size === 0) return;
    if (this.#standsBackFor.size > 0) return;
    const known = [...this.#unasked].filter((replica) => !Number.isNaN(this.#originRow(replica)));
    for (const replica of known) this.#unasked.delete(replica);
    if (known.length > 0) this.#options.ports.leases.add(known);
  }

  /** Prepares, reads and follows, for a context that is opened while another runs. */
  async start(): Promise<void> {
    await this.prepare();
    if (this.#stop.signal.aborted) return;
    await this.read();
    this.follow();
    this.#options.ports.run.moveOn();
  }

  /** Makes the tag queries ask again: the queues that match them may have changed. */
  askTags(): void {
    this.#options.tags.poke();
  }

  /** Wires the queues that the tag queries have found by now: they are inputs from the next bucket on. */
  rewire(): void {
    const { tags, ports } = this.#options;
    if (this.#compute === undefined) return;
    if (!tags.isResolved) {
      ports.reports.problem("a tag query no longer finds a queue; it keeps the last ones");
      return;
    }
    this.#wiring = this.#wire();
    this.#compute.rewire(this.#wiring);
    ports.run.moveOn();
  }

  /**
   * Takes strategies out: nodes that only they have are given up, and the others continue after the last bucket. To be
   * called also after a bucket failed because of one of them; nothing of that bucket was published.
   */
  remove(gone: ReadonlySet<OnlineGraph>): void {
    const { ports } = this.#options;
    const rest = this.#graph.members.filter((member) => !gone.has(member));
    const graph = { ...mergeOnlineGraphs(rest), sources: this.#graph.sources };
    this.#graph = graph;
    const kept = new Set(graph.computed.map(({ id }) => id));
    const removed = [...this.#replicas].filter(([id]) => !kept.has(id));
    for (const [id, replica] of removed) {
      this.#replicas.delete(id);
      this.#unasked.delete(replica);
      this.#removed.add(replica);
    }
    ports.leases.drop(removed.map(([, replica]) => replica));
    if (this.#compute === undefined) return;
    this.#wiring = this.#wire();
    this.#compute.rewire(this.#wiring, graph);
  }

  /** Stops computing and gives up the leases, each once its window is empty. */
  async stop(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    const { ports, tags } = this.#options;
    this.#compute?.stop();
    this.#watch.stop();
    const held = [...this.replicas.values()].filter((replica) => replica.phase !== "WAITING");
    ports.leases.drop(this.replicas.values());
    await drainKeys(held, ports.clock);
    this.#reader.stop();
    await tags.stop();
    await this.#completing;
  }

  /** Whether another bucket can be taken now. */
  get hasRoom(): boolean {
    return this.#options.listener.hasRoom(this);
  }

  /** Reads the rows that some queues lack: those before the row at which they began, and those that were freed. */
  completePast(): void {
    const { ports } = this.#options;
    const inputs = (this.#wiring?.inputs ?? []).map(({ replica }) => replica);
    const read = [...this.replicas.values(), ...inputs];
    this.#completing ??= completeReplicas(
      ports,
      read.filter((replica) => !replica.isWhole),
      this.#stop.signal,
    ).then(() => {
      this.#completing = undefined;
      ports.run.moveOn();
    });
  }

  /** First row it needs of each clock once all buckets up to `endMs` are ended; undefined while it may need any row. */
  neededRows(endMs: number): NeededRows | undefined {
    const compute = this.#compute;
    if (compute?.isSettled !== true || this.#completing !== undefined) return undefined;
    return this.#retention?.look(compute.partsUntil(endMs));
  }

  /** Frees all earlier rows of its computed nodes and of the queues that its tag queries found. */
  freeRows(needed: NeededRows): void {
    for (const [id, replica] of this.replicas) {
      const clock = this.#wiring?.clockOf.get(id) ?? "";
      replica.freeBefore(needed.get(clock) ?? Number.NEGATIVE_INFINITY);
    }
    for (const { replica, clock } of this.#options.tags.inputs) {
      replica.freeBefore(needed.get(clock.key) ?? Number.NEGATIVE_INFINITY);
    }
  }

  take(bucket: ContextBucket): void {
    this.#options.listener.take(this, bucket);
    if (bucket.row % 64 === 0) this.#snapshots.look(bucket.row, this.replicas.values());
  }

  evaluated(count: number, bucket: ContextBucket, isFirst: boolean): void {
    this.#options.listener.evaluated(this, count, bucket, isFirst);
  }

  warmedUp(count: number): void {
    this.#options.listener.warmedUp(count);
  }

  stateOf(nodeId: string): NodeState | undefined {
    return this.#compute?.stateOf(nodeId);
  }

  /**
   * Stores the state of a node after its last row, if that row is effective; settles when that is done, or cannot be.
   */
  storeSnapshot(replica: QueueReplica): Promise<void> {
    return this.#snapshots.storeLast(replica);
  }

  /**
   * Gives up the leases it has, or asks for them again if nothing is lacking. While it waits for rows of a queue that it
   * may not continue, it publishes none of its own; the session that computes that queue may wait for just those.
   */
  #standBack(lacking: readonly QueueReplica[]): void {
    this.#standsBackFor = new Set(lacking);
    const { leases } = this.#options.ports;
    const asked = [...this.#replicas.values()].filter(
      (replica) => !this.#unasked.has(replica) && !replica.isExcluded,
    );
    if (lacking.length > 0) leases.drop(asked);
    else leases.add(asked);
  }

  #wire(): OnlineWiring {
    const { sources, tags } = this.#options;
    return wire(this.#graph, [...sources.inputs, ...tags.inputs], tags.matches);
  }

  /**
   * Row at which a queue of this context would begin now: the next row of the inputs on its clock; NaN while not known.
   */
  #originRow(replica: QueueReplica): number {
    const clock = this.#wiring?.clockOf.get(replica.identity.nodeId);
    const inputs = [...this.#options.sources.inputs, ...this.#options.tags.inputs];
    const rows = inputs
      .filter((input) => input.clock.key === clock)
      .map(({ replica: own, feed }) =>
        own.isStarted ? own.nextRow : (feed?.rows.startRow ?? Number.NaN),
      );
    return rows.length === 0 ? Number.NaN : Math.min(...rows);
  }

  #makeReplica(nodeId: string, computeKey: string): QueueReplica {
    const { ports, graph, sources } = this.#options;
    const node = graph.computed.find((one) => one.id === nodeId)!;
    const build = hostedBuild(graph.codeHashes.get(nodeId)!);
    const content = { build, feedFingerprint: "" };
    const start = () => {
      const row = this.#originRow(replica);
      const clock = this.#wiring?.clockOf.get(nodeId);
      const firsts = sources.inputs.filter((input) => input.clock.key === clock);
      const warmFromRow = Math.min(row, ...firsts.map(({ feed }) => feed?.rows.firstRow ?? row));
      return { content, origin: { row, warmFromRow, stateHash: "" } };
    };
    const { name } = node.declared;
    const windowMax = computedWindowMax;
    const identity = { computeKey, nodeId, name, build, isSource: false, windowMax, start };
    const replica: QueueReplica = new QueueReplica(identity, ports.replicaPort);
    return replica;
  }

  #read(records: readonly WireRecord[]): void {
    const { run } = this.#options.ports;
    let isRead = false;
    run.guard(() => {
      for (const record of records) this.#byKey.get(record.computeKey)?.read(record);
      isRead = true;
    });
    if (!isRead) return;
    for (const replica of this.#removed) replica.freeBefore(Number.POSITIVE_INFINITY);
    this.#snapshots.send();
    run.moveOn();
  }
}

/** Reads copies of queues from their first record, and gives the queues the rows they lack. */
async function completeReplicas(
  ports: RunPorts,
  replicas: readonly QueueReplica[],
  signal: AbortSignal,
): Promise<void> {
  const whole = new Map(replicas.map((replica) => [replica.computeKey, replica.copy()]));
  const reader = new QueueReader({
    data: ports.data,
    clock: ports.clock,
    keys: [...whole.values()],
    link: ports.link,
    onRecords: (records) => {
      for (const record of records) whole.get(record.computeKey)?.read(record);
    },
    onProblem: (problem) => ports.reports.problem(problem),
    onGone: (failure) => ports.run.fail(failure),
  });
  const end = (): void => reader.stop();
  signal.addEventListener("abort", end);
  await reader.history();
  signal.removeEventListener("abort", end);
  for (const replica of replicas) replica.complete(whole.get(replica.computeKey)!);
}

/** Interval between two checks of a drain, milliseconds. */
const lookMs = 20;
/** Longest time of a drain in which nothing moves, and its longest duration, milliseconds. */
const idleMsMax = 2_000;
const drainMsMax = 30_000;

/**
 * Waits until queues that are given up have nothing under way any more, as long as their rows still become effective:
 * a queue that is given up before its last row has no snapshot of it, and the next run would have to warm up.
 */
async function drainKeys(held: readonly QueueReplica[], clock: SdkClock): Promise<void> {
  const isOpen = ({ phase }: QueueReplica): boolean => phase !== "WAITING" && phase !== "DIVERGED";
  const done = (): number =>
    held.reduce((sum, replica) => sum + (replica.nextRow || 0) + (isOpen(replica) ? 0 : 1), 0);
  let before = done();
  let idleMs = 0;
  for (let waitedMs = 0; held.some(isOpen); waitedMs += lookMs) {
    if (idleMs >= idleMsMax || waitedMs >= drainMsMax) return;
    await new Promise<void>((resolve) => {
      clock.setTimer(resolve, lookMs);
    });
    for (const replica of held) replica.tick();
    const now = done();
    idleMs = now === before ? idleMs + lookMs : 0;
    before = now;
  }
}
