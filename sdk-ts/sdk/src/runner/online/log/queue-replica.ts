import type { QueueRecord as WireRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { blake3Hex, jcs } from "@qmtl/core/canonical";
import {
  emptyRowsMax,
  type FoldState,
  type HolderEffect,
  type HolderInput,
  type HolderState,
  holderStep,
  type QueueOrigin,
  startHolder,
  windowRoom,
} from "@qmtl/core/queues";
import type { FeedWatermarks } from "./feed-watermarks.ts";
import { RowBuffer } from "./row-buffer.ts";
import {
  type CarriedRecord,
  type RowContent,
  type StartContent,
  singleRecords,
} from "./wire-records.ts";

/** A row of a queue that is effective; `content` is undefined for a missing one. */
interface EffectiveRow {
  readonly seq: number;
  readonly content: RowContent | undefined;
}

/** Where the bucket of a row ends. */
interface WrittenEnd {
  readonly row: number;
  readonly bucketEndMs: number;
}

/** What a replica needs from its run. Implemented by `RunParts`. */
export interface ReplicaPort {
  readonly watermarks: FeedWatermarks;
  /** Time on the elapsed clock, milliseconds. */
  elapsedMs(): number;
  publish(replica: QueueReplica, records: readonly CarriedRecord[]): void;
  /** Gives up the lease after `stored`: only a holder's snapshot is accepted. */
  release(
    replica: QueueReplica,
    epoch: number,
    reason: "clean" | "diverged",
    stored: Promise<unknown>,
  ): void;
  /** Stores the state of the node; settles when that is done, or cannot be. */
  snapshot(replica: QueueReplica): Promise<unknown>;
}

/** The fixed properties of a queue. */
interface QueueIdentity {
  readonly computeKey: string;
  /** Entry of `sources:` by whose rows its rows are numbered; undefined when that is not known. */
  readonly source?: string | undefined;
  readonly nodeId: string;
  readonly name: string;
  readonly build: string;
  readonly isSource: boolean;
  readonly windowMax: number;
  /** What this process would write into a START. */
  start(): { readonly content: StartContent; readonly origin: QueueOrigin };
}

/**
 * One queue as this process sees it: its fold, its effective rows, and this session's claim on it. Rows are kept from
 * the one at which reading began until they are freed; the fold covers all of them.
 */
export class QueueReplica {
  readonly identity: QueueIdentity;
  readonly #port: ReplicaPort;
  #rows = new RowBuffer<EffectiveRow>();
  #holder: HolderState;
  #build = "";
  /** Row at which reading begins; undefined: at the first record. */
  #fromRow: number | undefined;
  /** Rows before the first one here were not read, or have been freed. */
  #isPartial = false;
  #isTrimmed = false;
  #lastFreedEnd: WrittenEnd | undefined;
  #isExcluded = false;

  constructor(identity: QueueIdentity, port: ReplicaPort) {
    this.identity = identity;
    this.#port = port;
    this.#holder = startHolder(identity.windowMax);
  }

  get computeKey(): string {
    return this.identity.computeKey;
  }

  /** Row at which reading begins, while no row was read yet; undefined: reading continues at the next seq. */
  get fromRow(): number | undefined {
    return this.#rows.size === 0 ? this.#fromRow : undefined;
  }

  /** All rows of the log are here, from its first one on. */
  get isWhole(): boolean {
    return !this.#isPartial;
  }

  /** Rows that were here have been freed. */
  get isTrimmed(): boolean {
    return this.#isTrimmed;
  }

  /** Number of rows that are here. */
  get keptRows(): number {
    return this.#rows.size;
  }

  /** Bucket end of the newest freed row that has values; undefined for none. */
  get lastFreedEnd(): WrittenEnd | undefined {
    return this.#lastFreedEnd;
  }

  /** Seq of the next effective record. */
  get nextSeq(): number {
    return this.#holder.fold.seq;
  }

  /** Epoch of the last START in the log; 0 before the first. */
  get logEpoch(): number {
    return this.#holder.fold.epoch;
  }

  get phase(): HolderState["phase"] {
    return this.#holder.phase;
  }

  get epoch(): number {
    return this.#holder.epoch;
  }

  get isStarted(): boolean {
    return this.#holder.fold.epoch > 0;
  }

  get isEnded(): boolean {
    return this.#holder.fold.ended;
  }

  /** End of the log: the row after the last effective one. NaN before the first START. */
  get nextRow(): number {
    return this.isStarted ? this.#holder.fold.nextRow : Number.NaN;
  }

  /** First row of the queue that is here: the first one that was read and not freed. NaN before the first START. */
  get firstRow(): number {
    return this.#rows.firstRow;
  }

  get lastKnownAtMs(): number {
    return this.#holder.fold.knownAtMs;
  }

  /** Build of the last holder. */
  get holderBuild(): string {
    return this.#build;
  }

  /** The row this process would send next. */
  get nextProduced(): number {
    return this.nextRow + this.#holder.window.length;
  }

  get inWindow(): number {
    return this.#holder.window.length;
  }

  /**
   * This session's START was read back: RESTORING or HOLDING. In CLAIMED it has the lease, too, but sends nothing yet.
   */
  get isHeld(): boolean {
    return this.phase === "RESTORING" || this.phase === "HOLDING";
  }

  /** The lease is never granted to this build, which has computed the queue otherwise than its log has it. */
  get isExcluded(): boolean {
    return this.#isExcluded || this.phase === "DIVERGED";
  }

  /** The lease claimed or held has run out here: nothing is sent until it is renewed. */
  get isPastUse(): boolean {
    return this.#port.elapsedMs() >= this.#holder.usableUntilMs;
  }

  /** Number of rows that may be computed and sent now. */
  get room(): number {
    return windowRoom(this.#holder, this.#port.elapsedMs());
  }

  row(row: number): EffectiveRow | undefined {
    return this.#rows.at(row);
  }

  /** See `FeedWatermarks.take`: what one stream says of a feed holds for every queue of it. */
  takeWatermark(source: string, row: number, timeMs: number): void {
    this.#port.watermarks.take(source, row, timeMs);
  }

  /** Time after which a row that is not in the log yet ends, milliseconds; −∞ while nothing is known of it. */
  endsAfter(row: number): number {
    const { source } = this.identity;
    return source === undefined
      ? Number.NEGATIVE_INFINITY
      : this.#port.watermarks.endsAfter(source, row);
  }

  /** Whether a row was here and has been freed: only the log still has it. */
  isFreed(row: number): boolean {
    return this.#isTrimmed && row < this.firstRow;
  }

  /** Frees the rows before this one, but never the newest. */
  freeBefore(row: number): void {
    const until = Math.min(row, this.nextRow - 1);
    if (!(until > this.firstRow)) return;
    for (let at = until - 1; at >= this.firstRow; at--) {
      const bucketEndMs = this.#rows.at(at)?.content?.bucketEndMs;
      if (bucketEndMs === undefined) continue;
      this.#lastFreedEnd = { row: at, bucketEndMs };
      break;
    }
    this.#rows.freeBefore(until);
    this.#isPartial = true;
    this.#isTrimmed = true;
  }

  /** Makes reading begin at this row. To be called before anything is read. */
  beginAt(row: number): void {
    this.#fromRow = row;
  }

  /**
   * Forgets what was read, so that reading begins again at the first record.
   *
   * @throws {Error} if the queue is claimed.
   */
  restart(): void {
    if (this.phase !== "WAITING") throw new Error("a claimed queue cannot be read again");
    this.#holder = startHolder(this.identity.windowMax);
    this.#rows = new RowBuffer();
    this.#fromRow = undefined;
    this.#hasAll();
  }

  /**
   * Takes the rows that it lacks from a replica of the same queue that was read from the first record. Does nothing if
   * that one was not read as far as the first row here.
   */
  complete(whole: QueueReplica): void {
    if (!this.#isPartial || !(whole.nextRow >= this.firstRow)) return;
    this.#rows.prepend(whole.#rows);
    this.#hasAll();
  }

  #hasAll(): void {
    this.#isPartial = false;
    this.#isTrimmed = false;
    this.#lastFreedEnd = undefined;
  }

  /** A replica of the same queue, to be read separately. */
  copy(): QueueReplica {
    return new QueueReplica(this.identity, this.#port);
  }

  /**
   * Takes a record of the log.
   *
   * @throws {Error} for one of more rows than a record may state, which an older platform stored
   */
  read(record: WireRecord): void {
    for (const single of singleRecords(record)) this.#read(single);
  }

  granted(epoch: number, usableUntilMs: number): void {
    this.#step({ kind: "granted", epoch, usableUntilMs, nowMs: this.#port.elapsedMs() });
  }

  /** The DAG Manager grants this build no lease of the queue. */
  excluded(): void {
    this.#isExcluded = true;
  }

  renewed(epoch: number, usableUntilMs: number): void {
    this.#step({ kind: "renewed", epoch, usableUntilMs });
  }

  leaseLost(currentEpoch: number): void {
    this.#step({ kind: "lease_lost", currentEpoch });
  }

  restored(): void {
    this.#step({ kind: "restored", nowMs: this.#port.elapsedMs() });
  }

  diverged(row: number, localHash: string, logHash: string): void {
    this.#step({ kind: "diverged", row, localHash, logHash });
  }

  /** Gives the lease up cleanly, once its window is effective. */
  release(): void {
    this.#step({ kind: "release", nowMs: this.#port.elapsedMs() });
  }

  tick(): void {
    this.#step({ kind: "timer", nowMs: this.#port.elapsedMs() });
  }

  /** Sends the next row (`content` undefined: missing) and returns its seq. */
  produce(row: number, bucketEndMs: number, content: RowContent | undefined): number {
    const seq = this.nextSeq + this.#holder.window.length;
    const nowMs = this.#port.elapsedMs();
    const knownAtMs = Math.max(bucketEndMs, this.lastKnownAtMs);
    if (content === undefined) {
      const record = { kind: "EMPTY" as const, row, toRow: row, knownAtMs };
      this.#step({ kind: "produced", record, nowMs });
      return seq;
    }
    const record = { kind: "ROW" as const, row, rev: 0, knownAtMs, content };
    this.#step({ kind: "produced", record, nowMs });
    return seq;
  }

  /** Ends the queue: nothing follows. */
  produceEnd(): void {
    this.#step({ kind: "produced", record: { kind: "END" }, nowMs: this.#port.elapsedMs() });
  }

  /** A reader that begins in mid-queue first gets the START in force; its position is that of the next record. */
  #join({ seq = 0, row }: CarriedRecord): void {
    const { fold } = this.#holder;
    this.#fromRow = undefined;
    if (seq <= fold.seq || row === undefined) return;
    this.#holder = startHolder(this.identity.windowMax, { ...fold, seq, nextRow: row });
    this.#rows.begin(row);
    this.#isPartial = true;
  }

  #read(record: CarriedRecord): void {
    if (this.fromRow !== undefined && record.kind !== "START") this.#join(record);
    const before = this.#holder.fold;
    const { state, effects } = holderStep(this.#holder, {
      kind: "record",
      record,
      nowMs: this.#port.elapsedMs(),
    });
    this.#holder = state;
    // The row is kept before the effects are carried out: they may ask for a snapshot of it.
    if (state.fold !== before) this.#take(record, before, state.fold);
    this.#do(effects);
  }

  /** Keeps the rows of an effective record. */
  #take(record: CarriedRecord, before: FoldState, after: FoldState): void {
    if (record.kind === "START") {
      if (Number.isNaN(this.firstRow)) this.#rows.begin(after.nextRow);
      this.#build = record.start?.build ?? "";
      return;
    }
    const { seq } = before;
    const { name, computeKey } = this.identity;
    const rows = after.nextRow - before.nextRow;
    if (rows > emptyRowsMax) {
      const place = `the queue of "${name}" (${computeKey})`;
      throw new Error(
        `${place} has a record of ${rows} rows, and at most ${emptyRowsMax} are read: restore a backup of the platform from before it`,
      );
    }
    for (let row = before.nextRow; row < after.nextRow; row++) {
      this.#rows.push({ seq, content: record.kind === "ROW" ? record.content : undefined });
    }
  }

  #step(input: HolderInput): void {
    const { state, effects } = holderStep(this.#holder, input);
    this.#holder = state;
    this.#do(effects);
  }

  #do(effects: readonly HolderEffect[]): void {
    let stored: Promise<unknown> = Promise.resolve();
    for (const effect of effects) {
      if (effect.kind === "append_start") this.#port.publish(this, [this.#start(effect.epoch)]);
      else if (effect.kind === "send") this.#port.publish(this, effect.records);
      else if (effect.kind === "store_snapshot") stored = this.#port.snapshot(this);
      else if (effect.kind === "release_lease")
        this.#port.release(this, effect.epoch, effect.reason, stored);
    }
  }

  #start(epoch: number): CarriedRecord {
    const { content, origin } = this.identity.start();
    const base = { kind: "START" as const, epoch, start: content };
    return this.isStarted ? base : { ...base, origin };
  }
}

/** Version of the executors: raised when the same code may give different bits. */
const engineVersion = "qmtl-engine/1";

/** Build of a node as this process computes it: runtime, executors and code. */
export function hostedBuild(codeHash: string): string {
  return `blake3:${blake3Hex(jcs([process.version, process.arch, engineVersion, codeHash]))}`;
}
