import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { encodedRecord } from "./encoded-record.ts";
import type { LogTail } from "./log-tail.ts";
import type { LogEntry, LogPosition, QueueLog } from "./queue-log.ts";
import { lastRowOf, mergeRuns, runLength, seqsTaken, sliceRun } from "./record-run.ts";

/** Records a live reader may fall behind before it must resume. */
export const behindRecordsMax = 4_096;
/** Entries read from the log at once, over all keys; at least one per key. */
const readEntriesMax = 512;
/** Largest number of records, and of bytes, in one batch; a larger record is a batch of its own. */
const batchRecordsMax = 1_000;
const batchBytesMax = 1024 * 1024;

interface Cursor {
  readonly computeKey: string;
  /** Next offset to read. */
  offset: number;
  /** Seq after the last record passed on. */
  nextSeq: number;
  /** Records before these are not passed on. */
  readonly fromSeq: number;
  readonly fromRow: number;
  /** Reading ends before this offset; infinite for a live reader. */
  readonly toOffset: number;
  /** True once it has caught up with the log. */
  isLive: boolean;
  /** True when there may be more to read. */
  isDirty: boolean;
  /** True when that may be in the log alone, because another process appended it. */
  mustLook: boolean;
}

interface ReadFrom {
  readonly computeKey: string;
  readonly position: LogPosition;
}

/**
 * Reads any number of keys, what is stored and then what arrives, in seq order within each key. Between two reads it
 * keeps only its positions, however slow its caller is.
 */
export class LogReader {
  readonly #log: QueueLog;
  readonly #tail: LogTail;
  readonly #cursors: Cursor[] = [];
  readonly #pending: LogEntry[] = [];
  readonly #unlisten: () => void;
  #wake: (() => void) | undefined;

  private constructor(log: QueueLog, tail: LogTail, keys: readonly string[]) {
    this.#log = log;
    this.#tail = tail;
    // Listening begins before anything is read, so that no append is missed in between.
    this.#unlisten = tail.listen(keys, () => this.refresh());
  }

  /** @throws {QmtlError} QUEUE_NOT_FOUND; TRIMMED for a seq beyond the log. */
  static async open(
    log: QueueLog,
    tail: LogTail,
    from: readonly ReadFrom[],
    historyOnly: boolean,
  ): Promise<LogReader> {
    const keys = from.map((item) => item.computeKey);
    const reader = new LogReader(log, tail, keys);
    try {
      const heads = historyOnly ? await log.heads(keys) : undefined;
      for (const { computeKey, position } of from) {
        const { offset, seq, start } = await log.locate(computeKey, position);
        if (start !== undefined) reader.#pending.push(start);
        reader.#cursors.push({
          computeKey,
          offset,
          nextSeq: seq,
          fromSeq: position.kind === "seq" ? position.seq : 0,
          fromRow: position.kind === "row" ? position.row : Number.NEGATIVE_INFINITY,
          toOffset: heads?.get(computeKey)?.nextOffset ?? Number.POSITIVE_INFINITY,
          isLive: false,
          isDirty: true,
          mustLook: false,
        });
      }
    } catch (error) {
      reader.close();
      throw error;
    }
    return reader;
  }

  /** True when nothing more will come: every key was read to the end of its history. Never true of a live reader. */
  get isAtEnd(): boolean {
    const isRead = this.#cursors.every((cursor) => cursor.offset >= cursor.toOffset);
    return this.#pending.length === 0 && isRead;
  }

  /**
   * The next records, rows in runs; empty when there are none now.
   *
   * @throws {QmtlError} RESUME_FROM when a key that had caught up is too far ahead of its reader.
   */
  async next(): Promise<QueueRecord[]> {
    const entries = this.#pending.splice(0);
    const behind: Cursor[] = [];
    for (const cursor of this.#cursors) {
      if (!cursor.isDirty || cursor.offset >= cursor.toOffset) continue;
      this.#checkBehind(cursor);
      const isKept = cursor.isLive && !cursor.mustLook;
      const newest = isKept ? this.#tail.from(cursor.computeKey, cursor.offset) : undefined;
      if (newest === undefined) {
        behind.push(cursor);
        continue;
      }
      cursor.isDirty = false;
      entries.push(...this.#advance(cursor, newest));
    }
    if (behind.length > 0) entries.push(...(await this.#readBehind(behind)));
    return mergeRuns(entries.map((entry) => entry.record));
  }

  /** Makes the next read look at every key again, and ends the wait of `changed`. */
  refresh(): void {
    for (const cursor of this.#cursors) cursor.isDirty = true;
    this.wake();
  }

  /** Makes the next read look into the log itself, for what other processes appended. */
  look(): void {
    for (const cursor of this.#cursors) cursor.mustLook = true;
    this.refresh();
  }

  /** Resolves when there may be more, or at `wake`. */
  async changed(): Promise<void> {
    if (this.#cursors.some((cursor) => cursor.isDirty && cursor.offset < cursor.toOffset)) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Ends the wait of `changed`. */
  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  close(): void {
    this.#unlisten();
  }

  async #readBehind(cursors: readonly Cursor[]): Promise<LogEntry[]> {
    const perKeyMax = Math.max(1, Math.floor(readEntriesMax / cursors.length));
    for (const cursor of cursors) {
      cursor.isDirty = false;
      cursor.mustLook = false;
    }
    const found = await this.#log.read(cursors, perKeyMax);
    const byKey = new Map<string, LogEntry[]>();
    for (const entry of found) {
      const entries = byKey.get(entry.computeKey);
      if (entries === undefined) byKey.set(entry.computeKey, [entry]);
      else entries.push(entry);
    }
    return cursors.flatMap((cursor) => {
      const entries = byKey.get(cursor.computeKey) ?? [];
      if (entries.length < perKeyMax) cursor.isLive = true;
      else cursor.isDirty = true;
      return this.#advance(cursor, entries);
    });
  }

  /** Moves a cursor over entries, and keeps those that it passes on. */
  #advance(cursor: Cursor, entries: readonly LogEntry[]): LogEntry[] {
    const handed: LogEntry[] = [];
    for (const entry of entries) {
      if (entry.offset >= cursor.toOffset) break;
      cursor.offset = entry.offset + 1;
      cursor.nextSeq = entry.seq + seqsTaken(entry.record);
      const record = wantedPart(entry.record, cursor);
      if (record !== undefined) handed.push({ ...entry, record });
    }
    return handed;
  }

  #checkBehind(cursor: Cursor): void {
    const newest = this.#tail.nextSeq(cursor.computeKey);
    if (!cursor.isLive || newest === undefined) return;
    if (newest - cursor.nextSeq <= behindRecordsMax) return;
    throw new QmtlError(
      "RESUME_FROM",
      "the reader is too slow; it must continue from its next seq",
      {
        metadata: { compute_key: cursor.computeKey, seq: String(cursor.nextSeq) },
      },
    );
  }
}

/** Splits records into messages of bounded size. */
export function* batches(records: readonly QueueRecord[]): Generator<QueueRecord[]> {
  let batch: QueueRecord[] = [];
  let count = 0;
  let bytes = 0;
  for (const record of records) {
    const size = encodedRecord(record).length;
    const isFull = count + runLength(record) > batchRecordsMax || bytes + size > batchBytesMax;
    if (batch.length > 0 && isFull) {
      yield batch;
      batch = [];
      count = 0;
      bytes = 0;
    }
    batch.push(record);
    count += runLength(record);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/** The part of a record at or after where the reader began. */
function wantedPart(record: QueueRecord, cursor: Cursor): QueueRecord | undefined {
  const { body } = record;
  if (body.case === "start") return record;
  const seq = Number(record.seq);
  const length = runLength(record);
  let skip = Math.max(0, cursor.fromSeq - seq);
  if (body.case === "rows") {
    skip = Math.max(skip, cursor.fromRow - Number(body.value.row));
  } else if (body.case === "empty" && lastRowOf(record) < cursor.fromRow) {
    skip = length;
  }
  if (skip <= 0) return record;
  return skip >= length ? undefined : sliceRun(record, skip, length - skip);
}
