import { create, equals } from "@bufbuild/protobuf";
import {
  type QueueRecord,
  QueueRecordSchema,
  type Rows,
} from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { float64At } from "@qmtl/core/queues";

/** Largest number of records in one run. */
const runRecordsMax = 1_000;

/** Number of each kind of record in the store. Never renumbered: the numbers are on disk. */
export const KINDS = { start: 1, rows: 2, empty: 3, mark: 4, end: 5 } as const;

/** Number of the record's kind in the store. A record without a body never gets this far. */
export function kindOf({ body }: QueueRecord): number {
  if (body.case === undefined) throw new Error("a record without a body has no kind");
  return KINDS[body.case];
}

type RowsRecord = QueueRecord & {
  readonly body: { readonly case: "rows"; readonly value: Rows };
};

/** True for a record with rows of values, one row or a run. */
export function isRows(record: QueueRecord): record is RowsRecord {
  return record.body.case === "rows";
}

/** Number of records in a run; 1 for a single record. */
export function runLength({ body }: QueueRecord): number {
  return body.case === "rows" ? body.value.count : 1;
}

/** Number of seqs that the record takes; 0 for a START. */
export function seqsTaken(record: QueueRecord): number {
  return record.body.case === "start" ? 0 : runLength(record);
}

/** First row a record covers; 0 for records without a row. */
export function firstRowOf({ body }: QueueRecord): number {
  return body.case === "rows" || body.case === "empty" ? Number(body.value.row) : 0;
}

/** Last row a record covers; −1 for records without a row. */
export function lastRowOf(record: QueueRecord): number {
  const { body } = record;
  if (body.case === "empty") return Number(body.value.toRow);
  return body.case === "rows" ? firstRowOf(record) + body.value.count - 1 : -1;
}

/** Known-at of the last row of a record, milliseconds since 1970; NaN when it has none. */
export function lastKnownAtMs({ body }: QueueRecord): number {
  if (body.case === "rows") return float64At(body.value.knownAtMs, body.value.count - 1);
  return body.case === "empty" ? (body.value.knownAtMs ?? Number.NaN) : Number.NaN;
}

/** Records `from` … `from + count − 1` of a run, as a run. A record that is not rows is returned as it is. */
export function sliceRun(record: QueueRecord, from: number, count: number): QueueRecord {
  if (!isRows(record) || (from === 0 && count === runLength(record))) return record;
  const rows = record.body.value;
  const cut = (bytes: Uint8Array): Uint8Array => bytes.subarray(8 * from, 8 * (from + count));
  const ports = rows.inputSeq.length / rows.count;
  return withRows(record, record.seq + BigInt(from), {
    ...rows,
    row: rows.row + BigInt(from),
    count,
    bucketEndMs: cut(rows.bucketEndMs),
    knownAtMs: cut(rows.knownAtMs),
    columns: rows.columns.map(cut),
    inputSeq: rows.inputSeq.slice(ports * from, ports * (from + count)),
    stateHash: rows.stateHash.length === 0 ? rows.stateHash : cut(rows.stateHash),
  });
}

/** Joins consecutive records that continue each other into runs of at most `runRecordsMax` rows. */
export function mergeRuns(records: readonly QueueRecord[]): QueueRecord[] {
  const merged: QueueRecord[] = [];
  for (let at = 0; at < records.length; ) {
    const run = runFrom(records, at);
    merged.push(run.length === 1 ? run[0]! : joined(run));
    at += run.length;
  }
  return merged;
}

/** The record at `at` and those after it that continue it. */
function runFrom(records: readonly QueueRecord[], at: number): readonly QueueRecord[] {
  let to = at + 1;
  let rows = runLength(records[at]!);
  while (to < records.length && doesContinue(records[to - 1]!, records[to]!)) {
    rows += runLength(records[to]!);
    if (rows > runRecordsMax) break;
    to += 1;
  }
  return records.slice(at, to);
}

/** True when two records have the same content. */
export function isSameRecord(a: QueueRecord, b: QueueRecord): boolean {
  return equals(QueueRecordSchema, a, b);
}

function doesContinue(a: QueueRecord, b: QueueRecord): boolean {
  if (!isRows(a) || !isRows(b)) return false;
  if (a.computeKey !== b.computeKey || a.leaseEpoch !== b.leaseEpoch) return false;
  const { value: first } = a.body;
  const { value: next } = b.body;
  const length = BigInt(first.count);
  if (b.seq !== a.seq + length || next.row !== first.row + length) return false;
  if (first.windowHash.length > 0 || next.windowHash.length > 0) return false;
  if (first.columns.length !== next.columns.length) return false;
  if (!hasPlainColumns(first) || !hasPlainColumns(next)) return false;
  if ((first.stateHash.length === 0) !== (next.stateHash.length === 0)) return false;
  return first.inputSeq.length / first.count === next.inputSeq.length / next.count;
}

/** True when each column has one number per row. The bytes of a ref output have not: such a record is not joined. */
function hasPlainColumns(rows: Rows): boolean {
  const bytes = 8 * rows.count;
  return rows.columns.every((column) => column.length === bytes);
}

function joined(records: readonly QueueRecord[]): QueueRecord {
  const [first, ...others] = records.filter(isRows);
  if (first === undefined) throw new Error("only rows come in runs");
  const parts = [first, ...others].map(({ body }) => body.value);
  const rows = first.body.value;
  return withRows(first, first.seq, {
    ...rows,
    count: parts.reduce((sum, { count }) => sum + count, 0),
    bucketEndMs: concat(parts.map((part) => part.bucketEndMs)),
    knownAtMs: concat(parts.map((part) => part.knownAtMs)),
    columns: rows.columns.map((_, at) => concat(parts.map((part) => part.columns[at]!))),
    inputSeq: parts.flatMap((part) => part.inputSeq),
    stateHash: concat(parts.map((part) => part.stateHash)),
  });
}

function withRows({ computeKey, leaseEpoch }: QueueRecord, seq: bigint, rows: Rows): QueueRecord {
  // Fields that a newer writer added are dropped: with a value for each row they could not be cut or joined here.
  const { $unknown: _unknown, ...value } = rows;
  return create(QueueRecordSchema, { computeKey, leaseEpoch, seq, body: { case: "rows", value } });
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
