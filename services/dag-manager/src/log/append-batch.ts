import { type QueueRecord, RecordKind } from "@qmtl/contracts/qmtl/data/v1/queue_data_pb";
import { QmtlError, type ReasonName } from "@qmtl/sdk/rpc";
import { type AppendTarget, type FoldedRecord, foldAppend } from "./append-fold.ts";
import { foldOfHead, type HeadRow, type HeadUpdate } from "./log-tables.ts";
import type { AppendResult, LogEntry } from "./queue-log.ts";
import {
  float64At,
  isSameRecord,
  mergeRuns,
  runLength,
  seqsTaken,
  shapeFault,
  sliceRun,
} from "./record-run.ts";

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
  readonly voidReasons: readonly string[];
}

type FindEntry = (computeKey: string, value: number) => Promise<LogEntry | undefined>;

/**
 * One append to any number of keys: folds the records in order over the locked heads, and says what to
 * write and what to answer. Does no I/O of its own.
 */
export class AppendBatch {
  readonly #records: readonly QueueRecord[];
  readonly #keys = new Map<string, KeyAppend>();
  readonly #folded: FoldedRecord[] = [];
  readonly #faults: (ReasonName | undefined)[] = [];
  readonly #standing: { nextSeq: number; nextRow: number; epoch: number }[] = [];
  readonly #voidReasons: string[] = [];
  #outcome: AppendOutcome | undefined;

  /** @throws {QmtlError} QUEUE_NOT_FOUND, QUEUE_BLOCKED, INVALID_FIELD. */
  constructor(
    heads: readonly HeadRow[],
    holds: ReadonlyMap<string, number | null>,
    records: readonly QueueRecord[],
  ) {
    this.#records = records;
    for (const head of heads) {
      const untilMs = head.is_source ? (holds.get(head.source) ?? null) : null;
      this.#keys.set(head.compute_key, keyAppend(head, untilMs));
    }
    for (const [at, record] of records.entries()) this.#check(record, at);
  }

  /** Folds every record. */
  run(): void {
    for (const record of this.#records) {
      const key = this.#keys.get(record.computeKey)!;
      const folded = foldAppend(key.target, record);
      if (folded.taken !== undefined) take(key, folded.taken);
      if (folded.fault !== undefined) {
        key.voidRecords += 1;
        this.#voidReasons.push(folded.voidReason ?? folded.fault.toLowerCase());
      }
      const { fold } = key.target;
      this.#folded.push(folded);
      this.#faults.push(folded.fault);
      this.#standing.push({ nextSeq: fold.seq, nextRow: fold.nextRow, epoch: fold.epoch });
    }
  }

  /** Compares records that lie before the next seq with the log: the same content is done, other content is void. */
  async confirmRepeats(findBySeq: FindEntry, findStart: FindEntry): Promise<void> {
    for (const [at, record] of this.#records.entries()) {
      const { repeated } = this.#folded[at]!;
      if (repeated === 0) continue;
      const isSame =
        record.kind === RecordKind.START
          ? await this.#isSameStart(record, findStart)
          : await this.#isSameRun(record, repeated, findBySeq);
      if (isSame) continue;
      const key = this.#keys.get(record.computeKey)!;
      const isStale = Number(record.leaseEpoch) < key.target.fold.epoch;
      this.#faults[at] =
        isStale || record.kind === RecordKind.START ? "STALE_EPOCH" : "SEQ_CONFLICT";
      key.voidRecords += 1;
      this.#voidReasons.push(isStale ? "stale_epoch" : "repeated_seq");
    }
  }

  /** Every record is new and effective, and no START: nothing is looked up or told. */
  get isPlain(): boolean {
    const isNew = this.#folded.every(
      ({ repeated, fault }) => repeated === 0 && fault === undefined,
    );
    return isNew && this.#records.every(({ kind }) => kind !== RecordKind.START);
  }

  /** What to write, and what happened. */
  outcome(): AppendOutcome {
    this.#outcome ??= this.#settle();
    return this.#outcome;
  }

  results(): AppendResult[] {
    return this.#records.map((_, at) => {
      const reason = this.#faults[at] ?? "";
      return { isEffective: reason === "", reason, ...this.#standing[at]! };
    });
  }

  #check(record: QueueRecord, at: number): void {
    const key = this.#keys.get(record.computeKey);
    const metadata = { compute_key: record.computeKey };
    if (key === undefined) {
      throw new QmtlError("QUEUE_NOT_FOUND", `no queue for ${record.computeKey}`, { metadata });
    }
    if (key.head.is_blocked) {
      throw new QmtlError("QUEUE_BLOCKED", `${record.computeKey} is blocked`, { metadata });
    }
    const fault = shapeFault(record, key.head.columns);
    if (fault === undefined) return;
    const fields = [{ field: `records[${at}]`, description: fault }];
    throw new QmtlError("INVALID_FIELD", "a record cannot be read", { fields, metadata });
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

  #settle(): AppendOutcome {
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
    return { entries, heads, origins, voidReasons: this.#voidReasons };
  }
}

function keyAppend(head: HeadRow, untilMs: number | null): KeyAppend {
  const fold = foldOfHead(head);
  const target: AppendTarget = {
    fold,
    grantedEpoch: head.granted_epoch,
    feedFingerprint: head.feed_fingerprint,
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
  if (record.kind === RecordKind.START) {
    if (record.feedFingerprint !== "") key.feedFingerprint = record.feedFingerprint;
    if (key.head.origin_row === null && key.origin === undefined) {
      const { origin } = record;
      const row = Number(origin?.row ?? 0n);
      const warmFromRow = Number(origin?.warmFromRow ?? 0n);
      key.origin = { row, warmFromRow, stateHash: origin?.stateHash ?? new Uint8Array() };
    }
  } else if (record.kind === RecordKind.ROW) {
    key.lastBucketEndMs = float64At(record.bucketEndMs, runLength(record) - 1);
  }
}

function isStartOf(record: QueueRecord, epoch: number): boolean {
  return record.kind === RecordKind.START && Number(record.leaseEpoch) === epoch;
}

function holdsSeq(record: QueueRecord, seq: number): boolean {
  const first = Number(record.seq);
  return record.kind !== RecordKind.START && seq >= first && seq < first + seqsTaken(record);
}
