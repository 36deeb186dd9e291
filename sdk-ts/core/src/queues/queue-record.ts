/** Kinds of records in a queue's log. */
export type RecordKind = "START" | "ROW" | "EMPTY" | "MARK" | "END" | "REV";

/** Recorded origin of a key: the first row ever published under it, fixed by its first START. */
export interface QueueOrigin {
  readonly row: number;
  /** First row of the warm-up that led to the origin. */
  readonly warmFromRow: number;
  readonly stateHash: string;
}

/**
 * The part of a queue record that decides whether it is effective. Values, hashes and other fields
 * ride along untouched.
 *
 * | field         | in         | meaning                                                        |
 * | ------------- | ---------- | -------------------------------------------------------------- |
 * | `kind`, `epoch` | all      | kind, and `lease_epoch` of its writer                           |
 * | `origin`      | first START | recorded origin                                               |
 * | `seq`         | all but START | number among the effective records of the key, without gap  |
 * | `row`         | ROW, REV, EMPTY | absolute row; of EMPTY its first                           |
 * | `toRow`       | EMPTY      | last row of the empty range                                    |
 * | `rev`         | ROW (0), REV | revision of the row                                           |
 * | `knownAtMs`   | ROW, REV, EMPTY | when it was known, ms, by its source's clock; EMPTY may leave it out |
 * | `watermarkMs` | MARK       | no row up to here will come                                    |
 */
export interface QueueRecord {
  readonly kind: RecordKind;
  readonly epoch: number;
  readonly seq?: number;
  readonly row?: number;
  readonly toRow?: number;
  readonly rev?: number;
  readonly knownAtMs?: number;
  readonly watermarkMs?: number;
  readonly origin?: QueueOrigin;
}

/** Largest record, in bytes. */
export const recordBytesMax = 256 * 1024;
/** Most records in one Publish. */
export const publishRecordsMax = 1_000;
/** Most bytes in one Publish. */
export const publishBytesMax = 1024 * 1024;
