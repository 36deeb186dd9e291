import { type QueueRecord, RecordFault } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { cloneFold, type FoldState, float64At } from "@qmtl/core/queues";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type AppendTarget, type FoldedRecord, foldAppend } from "./append-fold.ts";
import { foldOfHead, type HeadRow, type HeadUpdate } from "./log-tables.ts";
import type { AppendResult, LogEntry, SourcePins } from "./queue-log.ts";
import { isSameRecord, mergeRuns, seqsTaken, sliceRun } from "./record-run.ts";

interface KeyAppend {
  readonly head: HeadRow;
  readonly target: AppendTarget;
  readonly taken: QueueRecord[];
  /** Seq of the first taken record. */
  readonly firstSeq: number;
  origin: HeadUpdate["origin"];
  feedFingerprint: string;
  lastBucketEndMs: number | null;
  voidRecords: number;
}

interface AppendOutcome {
  readonly entries: readonly LogEntry[];
  readonly heads: readonly HeadUpdate[];
  /** First rows of sources that began. */
  readonly origins: readonly { readonly source: string; readonly row: number }[];
  /** The fault of each void record. */
  readonly voids: readonly RecordFault[];
}

type FindEntry = (computeKey: string, value: number) => Promise<LogEntry | undefined>;

/**
 * One append to any number of keys: folds the records in order over the given heads, and returns what to write and what
 * to answer. Does no I/O of its own.
 */
export class AppendBatch {
  readonly #records: readonly QueueRecord[];
  readonly #keys = new Map<string, KeyAppend>();
  readonly #folded: FoldedRecord[] = [];
  readonly #faults: RecordFault[] = [];
  /** State of the record's key after each record. */
  readonly #states: FoldState[] = [];
  readonly #voids: RecordFault[] = [];
  #outcome: AppendOutcome | undefined;

  /** @throws {QmtlError} QUEUE_NOT_FOUND. */
  constructor(
    heads: readonly HeadRow[],
    limits: ReadonlyMap<string, number | null>,
    records: readonly QueueRecord[],
    pins: SourcePins,
  ) {
    this.#records = records;
    for (const head of heads) {
      const untilMs = head.is_source ? (limits.get(head.source) ?? null) : null;
      const pinned = head.is_source ? pins.get(head.source) : undefined;
      this.#keys.set(head.compute_key, keyAppend(head, untilMs, pinned));
    }
    for (const record of records) this.#check(record);
  }

  /** Folds every record. */
  run(): void {
    for (const record of this.#records) {
      const key = this.#keys.get(record.computeKey)!;
      const folded = foldAppend(key.target, record);
      if (folded.taken !== undefined) take(key, folded.taken);
      if (isVoid(folded.fault)) {
        key.voidRecords += 1;
        this.#voids.push(folded.fault);
      }
      this.#folded.push(folded);
      this.#faults.push(folded.fault);
      this.#states.push(cloneFold(key.target.fold));
    }
  }

  /** Compares records before the next seq with the log: equal content counts as stored, different content is void. */
  async confirmRepeats(findBySeq: FindEntry, findStart: FindEntry): Promise<void> {
    for (const [at, record] of this.#records.entries()) {
      const { repeated } = this.#folded[at]!;
      if (repeated === 0) continue;
      const isStart = record.body.case === "start";
      const isSame = isStart
        ? await this.#isSameStart(record, findStart)
        : await this.#isSameRun(record, repeated, findBySeq);
      if (isSame) continue;
      const key = this.#keys.get(record.computeKey)!;
      const fault = isStart ? RecordFault.START_NOT_NEWER : repeatFault(record, key.target.fold);
      this.#faults[at] = fault;
      key.voidRecords += 1;
      this.#voids.push(fault);
    }
  }

  /** True when every record is new and effective, and none is a START: nothing has to be looked up or reported. */
  get isPlain(): boolean {
    const isNew = this.#folded.every(
      ({ repeated, fault }) => repeated === 0 && fault === RecordFault.UNSPECIFIED,
    );
    return isNew && this.#records.every(({ body }) => body.case !== "start");
  }

  /** What to write and to report; the same object at every call. */
  outcome(): AppendOutcome {
    this.#outcome ??= this.#makeOutcome();
    return this.#outcome;
  }

  results(): AppendResult[] {
    return this.#records.map((_, at) => ({ fault: this.#faults[at]!, state: this.#states[at]! }));
  }

  #check({ computeKey }: QueueRecord): void {
    if (this.#keys.has(computeKey)) return;
    const metadata = { compute_key: computeKey };
    throw new QmtlError("QUEUE_NOT_FOUND", `no queue for ${computeKey}`, { metadata });
  }

  async #isSameStart(record: QueueRecord, findStart: FindEntry): Promise<boolean> {
    const epoch = Number(record.leaseEpoch);
    const own = this.#keys.get(record.computeKey)!.taken.find((item) => isStartOf(item, epoch));
    const stored = own ?? (await findStart(record.computeKey, epoch))?.record;
    return stored !== undefined && isSameRecord(stored, record);
  }

  async #isSameRun(record: QueueRecord, repeated: number, findBySeq: FindEntry): Promise<boolean> {
    const { taken } = this.#keys.get(record.computeKey)!;
    for (let at = 0; at < repeated; at += 1) {
      const seq = Number(record.seq) + at;
      const own = taken.find((item) => holdsSeq(item, seq));
      const stored = own ?? (await findBySeq(record.computeKey, seq))?.record;
      if (stored === undefined || !holdsSeq(stored, seq)) return false;
      const log = sliceRun(stored, seq - Number(stored.seq), 1);
      if (!isSameRecord(log, sliceRun(record, at, 1))) return false;
    }
    return true;
  }

  #makeOutcome(): AppendOutcome {
    const entries: LogEntry[] = [];
    const heads: HeadUpdate[] = [];
    const origins: { source: string; row: number }[] = [];
    for (const [computeKey, key] of this.#keys) {
      let offset = key.head.next_offset;
      let seq = key.firstSeq;
      for (const record of mergeRuns(key.taken)) {
        entries.push({ computeKey, offset, seq, record });
        offset += 1;
        seq += seqsTaken(record);
      }
      if (key.taken.length === 0 && key.voidRecords === 0) continue;
      const { feedFingerprint, lastBucketEndMs, voidRecords, origin } = key;
      const { fold } = key.target;
      heads.push({
        computeKey,
        nextOffset: offset,
        fold,
        feedFingerprint,
        lastBucketEndMs,
        voidRecords,
        origin,
      });
      if (origin !== undefined && key.head.is_source && key.head.source !== "") {
        origins.push({ source: key.head.source, row: origin.row });
      }
    }
    return { entries, heads, origins, voids: this.#voids };
  }
}

function keyAppend(
  head: HeadRow,
  untilMs: number | null,
  pins: ReadonlySet<string> | undefined,
): KeyAppend {
  const fold = foldOfHead(head);
  const target: AppendTarget = {
    fold,
    grantedEpoch: head.granted_epoch,
    feedFingerprint: head.feed_fingerprint,
    isBlocked: head.is_blocked,
    shape: {
      columns: head.columns,
      bytesColumns: head.bytes_columns,
      intervalSeconds: head.interval_seconds,
      isSource: head.is_source,
    },
    pins,
    untilMs,
  };
  return {
    head,
    target,
    taken: [],
    firstSeq: fold.seq,
    origin: undefined,
    feedFingerprint: head.feed_fingerprint,
    lastBucketEndMs: head.last_bucket_end_ms,
    voidRecords: 0,
  };
}

function take(key: KeyAppend, record: QueueRecord): void {
  key.taken.push(record);
  const { body } = record;
  if (body.case === "start") {
    const { feedFingerprint, origin } = body.value;
    if (feedFingerprint !== "") key.feedFingerprint = feedFingerprint;
    if (key.head.origin_row === null && key.origin === undefined) {
      const row = Number(origin?.row ?? 0n);
      const warmFromRow = Number(origin?.warmFromRow ?? 0n);
      key.origin = { row, warmFromRow, stateHash: origin?.stateHash ?? new Uint8Array() };
    }
  } else if (body.case === "rows") {
    key.lastBucketEndMs = float64At(body.value.bucketEndMs, body.value.count - 1);
  } else if (body.case === "empty" && key.head.is_source) {
    // Missing buckets of a source end when they are known to be missing.
    key.lastBucketEndMs = Math.max(
      key.lastBucketEndMs ?? Number.NEGATIVE_INFINITY,
      body.value.knownAtMs ?? Number.NEGATIVE_INFINITY,
    );
    if (!Number.isFinite(key.lastBucketEndMs)) key.lastBucketEndMs = null;
  }
}

/** True for a fault that is final. A record that is held, or came before its lease, may be sent again. */
function isVoid(fault: RecordFault): boolean {
  return (
    fault !== RecordFault.UNSPECIFIED &&
    fault !== RecordFault.HELD &&
    fault !== RecordFault.LEASE_MISSING
  );
}

/** Why a record before the next seq is void when its content differs from the log's. */
function repeatFault(record: QueueRecord, { epoch }: FoldState): RecordFault {
  const isStale = Number(record.leaseEpoch) < epoch;
  return isStale ? RecordFault.STALE_EPOCH : RecordFault.REPEATED_SEQ;
}

function isStartOf(record: QueueRecord, epoch: number): boolean {
  return record.body.case === "start" && Number(record.leaseEpoch) === epoch;
}

function holdsSeq(record: QueueRecord, seq: number): boolean {
  const first = Number(record.seq);
  return record.body.case !== "start" && seq >= first && seq < first + seqsTaken(record);
}
