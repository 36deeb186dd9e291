import type { QueueRecord, RecordFault } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { FoldState } from "@qmtl/core/queues";

/** An effective record (or run of rows) and where it lies in the log of its key. */
export interface LogEntry {
  readonly computeKey: string;
  /** Place in this log; counts START records too. Means nothing outside of it. */
  readonly offset: number;
  /** Seq of the first record; of a START, the seq of the record after it. */
  readonly seq: number;
  readonly record: QueueRecord;
}

/** By source, the fingerprints that the submissions of a session pin it to. A source that none pins is left out. */
export type SourcePins = ReadonlyMap<string, ReadonlySet<string>>;

/** Outcome of one record of an append. */
export interface AppendResult {
  /** Why it is not effective; UNSPECIFIED when it is. */
  readonly fault: RecordFault;
  /** State of the key after it. */
  readonly state: FoldState;
}

/** Where the next entry of a log will be. */
export interface LogHead {
  readonly nextOffset: number;
  readonly nextSeq: number;
}

/** Where a reader wants to begin. */
export type LogPosition =
  | { readonly kind: "first" }
  | { readonly kind: "seq"; readonly seq: number }
  | { readonly kind: "row"; readonly row: number }
  /** First record known at this time or later, milliseconds since 1970. */
  | { readonly kind: "known_at"; readonly knownAtMs: number }
  | { readonly kind: "tail" };

/** A found position: the offset to read from, the seq of the first record there, and the START in force there, if any. */
export interface ReadPosition {
  readonly offset: number;
  readonly seq: number;
  readonly start: LogEntry | undefined;
}

/**
 * The log of every key: append and read. The fold alone decides which records count.
 *
 * `database-log.ts` keeps effective records in the service's own database, in either kind of database.
 */
export interface QueueLog {
  /**
   * Appends records in order; resolves to one result per record. Void ones are reported in the results.
   *
   * @param pins of the session that writes: a START of other data is void
   * @throws {QmtlError} QUEUE_NOT_FOUND, RECORD_TOO_LARGE: nothing is stored.
   */
  append(records: readonly QueueRecord[], pins: SourcePins): Promise<AppendResult[]>;
  /** Heads of those keys that exist. */
  heads(keys: readonly string[]): Promise<Map<string, LogHead>>;
  /**
   * Finds where to begin reading a key.
   *
   * @throws {QmtlError} QUEUE_NOT_FOUND; TRIMMED for a seq beyond the end of the log.
   */
  locate(computeKey: string, position: LogPosition): Promise<ReadPosition>;
  /** Entries from each offset on, in order per key, at most `perKeyMax` per key. */
  read(
    from: readonly { readonly computeKey: string; readonly offset: number }[],
    perKeyMax: number,
  ): Promise<LogEntry[]>;
}
