import type { QueueRecord as WireRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { computedWindowMax } from "@qmtl/core/queues";
import { QueueReader } from "../sources/queue-reader.ts";
import { completeKeys } from "./complete-keys.ts";
import type { ComputedBucket } from "./computed-bucket.ts";
import { drainKeys } from "./drain-keys.ts";
import { hostedBuild } from "./online-build.ts";
import { OnlineCompute } from "./online-compute.ts";
import type { OnlineGraph } from "./online-graph.ts";
import { inputRowEndMs, lastInputRow } from "./online-input.ts";
import { snapshotFromRows, stateLengths } from "./online-snapshot-past.ts";
import { SnapshotShelf } from "./online-snapshots.ts";
import type { OnlineSources } from "./online-sources.ts";
import { type OnlineWiring, wire } from "./online-wiring.ts";
import { QueueReplica } from "./queue-replica.ts";
import type { RunPorts } from "./run-ports.ts";
import { SnapshotWriter } from "./snapshot-writer.ts";
import type { TagQueryTracker } from "./tag-query-tracker.ts";

export interface OnlineContextOptions {
  readonly ports: RunPorts;
  readonly graph: OnlineGraph;
  readonly sources: OnlineSources;
  /** Queues of the tag queries in this context. */
  readonly tags: TagQueryTracker;
  /** Compute key by node id, computed nodes only. */
  readonly computeKeys: ReadonlyMap<string, string>;
  readonly onRow: (context: OnlineContext, bucket: ComputedBucket) => void;
  readonly onEvaluated: (
    context: OnlineContext,
    count: number,
    bucket: ComputedBucket,
    isFirst: boolean,
  ) => void;
  readonly onWarmup: (count: number) => void;
  readonly onTakeover: (names: readonly string[], row: number) => void;
  readonly onDiverged: (name: string, row: number) => void;
  readonly hasRoom: (context: OnlineContext) => boolean;
  /** Called after each change, so that everything that can be computed is. */
  readonly onChange: () => void;
}

/** The nodes of a strategy in one compute context: their keys, their stream, their leases and the computation. */
export class OnlineContext {
  readonly keys: ReadonlyMap<string, QueueReplica>;
  readonly #options: OnlineContextOptions;
  readonly #byKey = new Map<string, QueueReplica>();
  readonly #reader: QueueReader;
  readonly #snapshots: SnapshotWriter;
  readonly #stop = new AbortController();
  /** Keys whose leases are not asked for yet: it is not known where their rows begin. */
  readonly #unasked: Set<QueueReplica>;
  #shelf: SnapshotShelf | undefined;
  #wiring: OnlineWiring | undefined;
  #compute: OnlineCompute | undefined;
  #completing: Promise<void> | undefined;
  #isFollowing = false;

  constructor(options: OnlineContextOptions) {
    const { ports, graph, computeKeys } = options;
    this.#options = options;
    this.keys = new Map(
      graph.computed.map(({ id }) => [id, this.#makeKey(id, computeKeys.get(id)!)] as const),
    );
    for (const key of this.keys.values()) this.#byKey.set(key.computeKey, key);
    this.#unasked = new Set(this.keys.values());
    this.#snapshots = new SnapshotWriter(ports, (nodeId) => this.#compute?.stateOf(nodeId));
    this.#reader = new QueueReader({
      data: ports.data,
      clock: ports.clock,
      keys: [...this.keys.values()],
      onRecords: (records) => this.#read(records),
      onProblem: ports.onProblem,
      onGone: ports.onGone,
    });
  }

  /** The computation; undefined before the context is prepared. */
  get compute(): OnlineCompute | undefined {
    return this.#compute;
  }

  /** It stands after its last bucket, ready for the next. */
  get isWarm(): boolean {
    return this.#compute?.isWarm === true;
  }

  /** Highest row computed; NaN before it stands anywhere. */
  get lastRow(): number {
    return this.#compute?.lastRow ?? Number.NaN;
  }

  /** End of the last bucket computed, milliseconds; NaN before it stands anywhere. */
  get endMs(): number {
    return this.#compute?.endMs ?? Number.NaN;
  }

  /** Every input has ended, and everything of them is computed. */
  get isEnded(): boolean {
    const inputs = this.#wiring?.inputs ?? [];
    const isOver = inputs.length > 0 && inputs.every(({ key }) => key.isEnded);
    return isOver && this.#compute?.isAtEnd === true;
  }

  /**
   * Source entries whose rows this computes from now on: all of its own once it is warm, one that a query found once it
   * has come up to where this stands.
   */
  feedsReached(): ReadonlySet<string> {
    const compute = this.#compute;
    if (compute?.isWarm !== true) return new Set();
    const found = this.#options.tags.inputs.filter((input) => {
      const reached = inputRowEndMs(input, lastInputRow(input));
      return compute.endMs === Number.NEGATIVE_INFINITY || reached >= compute.endMs;
    });
    const sources = [...this.#options.sources.inputs, ...found].map(({ source }) => source);
    return new Set(sources.filter((source) => source !== ""));
  }

  /** Finds the queues of the tag queries and the snapshots to begin at. */
  async prepare(): Promise<void> {
    const { tags, ports, graph } = this.#options;
    await tags.resolve();
    if (this.#stop.signal.aborted) return;
    const wiring = this.#wire();
    this.#wiring = wiring;
    const shelf = new SnapshotShelf({
      queues: ports.queues,
      clock: ports.clock,
      keys: this.keys,
      stateLengths: stateLengths(wiring),
      signal: this.#stop.signal,
      onProblem: ports.onProblem,
    });
    await shelf.load();
    this.#shelf = shelf;
    const { onWarmup, onTakeover, onDiverged } = this.#options;
    this.#compute = new OnlineCompute({
      graph,
      wiring,
      keys: this.keys,
      keptStates: () => shelf.states,
      onPartial: () => this.#complete(),
      onRow: (bucket) => {
        this.#options.onRow(this, bucket);
        if (bucket.row % 64 === 0) this.#snapshots.look(bucket.row, this.keys.values());
      },
      onEvaluated: (count, bucket, isFirst) =>
        this.#options.onEvaluated(this, count, bucket, isFirst),
      onWarmup,
      onTakeover,
      onDiverged,
      hasRoom: () => this.#options.hasRoom(this),
    });
  }

  /** Before anything was read: begins at the newest snapshots, so that only what comes after them is read. */
  beginAtSnapshots(): void {
    const { graph, sources } = this.#options;
    const wiring = this.#wiring;
    if (wiring === undefined || this.#shelf === undefined || graph.queries.length > 0) return;
    const from = snapshotFromRows(wiring, this.#shelf.states);
    if (from === undefined) return;
    for (const { key, clock, feed } of sources.inputs) {
      const row = from.get(clock.key);
      if (row !== undefined && feed !== undefined && row > feed.rows.startRow) key.beginAt(row);
    }
    for (const [id, key] of this.keys) {
      const row = from.get(wiring.clockOf.get(id) ?? "");
      if (row !== undefined) key.beginAt(row);
    }
  }

  /** Reads what is there; false when a snapshot it began at is of another history. */
  async read(): Promise<boolean> {
    await this.#reader.history();
    return this.#shelf?.confirm() ?? true;
  }

  /** Reads everything from the first record, instead of what was read. */
  async readAgain(): Promise<void> {
    for (const key of this.keys.values()) key.restart();
    await this.read();
  }

  /** Asks for the leases and follows what comes. */
  follow(): void {
    if (this.#stop.signal.aborted) return;
    this.#reader.follow();
    this.#isFollowing = true;
    this.ask();
    // With nothing to ask for, nothing is answered.
    if (this.#unasked.size === this.keys.size) this.#compute?.enable();
  }

  /** Asks for the leases of the nodes whose rows are known to begin. */
  ask(): void {
    if (!this.#isFollowing || this.#stop.signal.aborted || this.#unasked.size === 0) return;
    const known = [...this.#unasked].filter((key) => !Number.isNaN(this.#originRow(key)));
    for (const key of known) this.#unasked.delete(key);
    if (known.length > 0) this.#options.ports.leases.add(known);
  }

  /** Everything of a context that is opened while another runs. */
  async start(): Promise<void> {
    await this.prepare();
    if (this.#stop.signal.aborted) return;
    await this.read();
    this.follow();
    this.#options.onChange();
  }

  /** Queues with tags may have changed. */
  askTags(): void {
    this.#options.tags.poke();
  }

  /** The tag queries found other queues: they are inputs from the next bucket on. */
  rewire(): void {
    const { tags } = this.#options;
    if (this.#compute === undefined) return;
    if (!tags.isResolved) {
      this.#options.ports.onProblem("a tag query finds no queue any more; the last ones stay");
      return;
    }
    this.#wiring = this.#wire();
    this.#compute.rewire(this.#wiring);
    this.#options.onChange();
  }

  /** Gives the leases up, each after its window, and computes no more. */
  async stop(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    const { ports, tags } = this.#options;
    this.#compute?.stop();
    const held = [...this.keys.values()].filter((key) => key.phase !== "WAITING");
    ports.leases.drop(this.keys.values());
    await drainKeys(held, ports.clock);
    await this.#reader.stop();
    await tags.stop();
    await this.#completing;
  }

  /** Stores the state of a key after the last row, if that is effective; settles when that is done, or cannot be. */
  storeSnapshot(key: QueueReplica): Promise<void> {
    return this.#snapshots.storeLast(key);
  }

  #wire(): OnlineWiring {
    const { graph, sources, tags } = this.#options;
    return wire(graph, [...sources.inputs, ...tags.inputs], tags.matches);
  }

  /** Row a queue of this context would begin at now: the next of the inputs on its clock. */
  #originRow(key: QueueReplica): number {
    const clock = this.#wiring?.clockOf.get(key.identity.nodeId);
    const inputs = [...this.#options.sources.inputs, ...this.#options.tags.inputs];
    const rows = inputs
      .filter((input) => input.clock.key === clock)
      .map(({ key: own, feed }) =>
        own.isStarted ? own.nextRow : (feed?.rows.startRow ?? Number.NaN),
      );
    return rows.length === 0 ? Number.NaN : Math.min(...rows);
  }

  #makeKey(nodeId: string, computeKey: string): QueueReplica {
    const { ports, graph, sources } = this.#options;
    const node = graph.computed.find((one) => one.id === nodeId)!;
    const build = hostedBuild(graph.identified.hashCode(node.hashable.code));
    const content = { build, feedFingerprint: "" };
    const start = () => {
      const row = this.#originRow(key);
      const clock = this.#wiring?.clockOf.get(nodeId);
      const firsts = sources.inputs.filter((input) => input.clock.key === clock);
      const warmFromRow = Math.min(row, ...firsts.map(({ feed }) => feed?.rows.firstRow ?? row));
      return { content, origin: { row, warmFromRow, stateHash: "" } };
    };
    const { name } = node.declared;
    const windowMax = computedWindowMax;
    const identity = { computeKey, nodeId, name, build, isSource: false, windowMax, start };
    const key: QueueReplica = new QueueReplica(identity, ports.keyPort);
    return key;
  }

  #read(records: readonly WireRecord[]): void {
    for (const record of records) this.#byKey.get(record.computeKey)?.read(record);
    this.#snapshots.send();
    this.#options.onChange();
  }

  /** Reads what lies before the rows that some queues were read from. */
  #complete(): void {
    const { ports, sources, onChange } = this.#options;
    this.#completing ??= completeKeys(
      ports,
      [...this.keys.values(), ...sources.keys.values()].filter((key) => !key.isWhole),
      this.#stop.signal,
    ).then(() => {
      this.#completing = undefined;
      onChange();
    });
  }
}
