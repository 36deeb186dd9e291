import { create, equals } from "@bufbuild/protobuf";
import {
  type QueueRecord,
  QueueRecordSchema,
  RecordKind,
} from "@qmtl/contracts/qmtl/data/v1/queue_data_pb";

/** Records in one run at most. */
export const runRecordsMax = 1_000;

/** Number of records in a run; 1 for a single record. */
export function runLength(record: QueueRecord): number {
  return record.count === 0 ? 1 : record.count;
}

/** Seqs the record takes: a START has none. */
export function seqsTaken(record: QueueRecord): number {
  return record.kind === RecordKind.START ? 0 : runLength(record);
}

/** Last row a record covers; of records without a row, one before `record.row`. */
export function lastRowOf(record: QueueRecord): number {
  if (record.kind === RecordKind.EMPTY) return Math.max(Number(record.row), Number(record.toRow));
  if (record.kind === RecordKind.ROW) return Number(record.row) + runLength(record) - 1;
  return Number(record.row) - 1;
}

/** What is wrong with the shape of a record; undefined when it can be read. `columns` 0: any number. */
export function shapeFault(record: QueueRecord, columns: number): string | undefined {
  const count = runLength(record);
  if (count > 1 && record.kind !== RecordKind.ROW) return "only rows may come in runs";
  if (record.kind !== RecordKind.ROW) return undefined;
  const bytes = 8 * count;
  if (record.bucketEndMs.length !== bytes) return `bucket_end_ms must have ${bytes} bytes`;
  if (record.knownAtMs.length !== bytes) return `known_at_ms must have ${bytes} bytes`;
  if (columns > 0 && record.columns.length > 0 && record.columns.length !== columns) {
    return `must have ${columns} columns, has ${record.columns.length}`;
  }
  const ragged = record.columns.findIndex((column) => column.length !== bytes);
  if (ragged >= 0 && count > 1) return `columns[${ragged}] must have ${bytes} bytes`;
  if (record.inputSeq.length % count !== 0)
    return "input_seq must have one entry per record and port";
  const { stateHash } = record;
  if (stateHash.length !== 0 && stateHash.length !== bytes)
    return `state_hash must have ${bytes} bytes`;
  if (record.windowHash.length !== 0 && count > 1) return "a row with window_hash stands alone";
  return undefined;
}

/** Value `at` of a little-endian float64 column; NaN when it is not there. */
export function float64At(bytes: Uint8Array, at: number): number {
  if (bytes.length < 8 * (at + 1)) return Number.NaN;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getFloat64(8 * at, true);
}

/** Records `from` … `from + count − 1` of a run, as a run. */
export function sliceRun(record: QueueRecord, from: number, count: number): QueueRecord {
  const length = runLength(record);
  if (from === 0 && count === length) return record;
  const cut = (bytes: Uint8Array): Uint8Array => bytes.subarray(8 * from, 8 * (from + count));
  const ports = record.inputSeq.length / length;
  return create(QueueRecordSchema, {
    ...withoutTypeName(record),
    seq: record.seq + BigInt(from),
    row: record.row + BigInt(from),
    count,
    bucketEndMs: cut(record.bucketEndMs),
    knownAtMs: cut(record.knownAtMs),
    columns: record.columns.map(cut),
    inputSeq: record.inputSeq.slice(ports * from, ports * (from + count)),
    stateHash: record.stateHash.length === 0 ? record.stateHash : cut(record.stateHash),
  });
}

/** Joins neighbours that continue each other into runs of at most `runRecordsMax` rows. */
export function mergeRuns(records: readonly QueueRecord[]): QueueRecord[] {
  const merged: QueueRecord[] = [];
  for (let at = 0; at < records.length; ) {
    let to = at + 1;
    let rows = runLength(records[at]!);
    while (to < records.length && doesContinue(records[to - 1]!, records[to]!)) {
      rows += runLength(records[to]!);
      if (rows > runRecordsMax) break;
      to += 1;
    }
    merged.push(to === at + 1 ? records[at]! : joined(records.slice(at, to)));
    at = to;
  }
  return merged;
}

/** True when two records say the same, whether `count` is unset or 1. */
export function isSameRecord(a: QueueRecord, b: QueueRecord): boolean {
  return equals(QueueRecordSchema, counted(a), counted(b));
}

function counted(record: QueueRecord): QueueRecord {
  return create(QueueRecordSchema, { ...withoutTypeName(record), count: runLength(record) });
}

function doesContinue(a: QueueRecord, b: QueueRecord): boolean {
  if (a.kind !== RecordKind.ROW || b.kind !== RecordKind.ROW) return false;
  if (a.computeKey !== b.computeKey || a.leaseEpoch !== b.leaseEpoch) return false;
  const length = runLength(a);
  if (b.seq !== a.seq + BigInt(length) || b.row !== a.row + BigInt(length)) return false;
  if (a.windowHash.length > 0 || b.windowHash.length > 0) return false;
  if (a.columns.length !== b.columns.length || !hasPlainColumns(a) || !hasPlainColumns(b))
    return false;
  if ((a.stateHash.length === 0) !== (b.stateHash.length === 0)) return false;
  return a.inputSeq.length / length === b.inputSeq.length / runLength(b);
}

/** Values of one number a row; the bytes of a ref output are not, and stay alone. */
function hasPlainColumns(record: QueueRecord): boolean {
  const bytes = 8 * runLength(record);
  return record.columns.every((column) => column.length === bytes);
}

function joined(records: readonly QueueRecord[]): QueueRecord {
  const first = records[0]!;
  return create(QueueRecordSchema, {
    ...withoutTypeName(first),
    count: records.reduce((sum, record) => sum + runLength(record), 0),
    bucketEndMs: concat(records.map((record) => record.bucketEndMs)),
    knownAtMs: concat(records.map((record) => record.knownAtMs)),
    columns: first.columns.map((_, at) => concat(records.map((record) => record.columns[at]!))),
    inputSeq: records.flatMap((record) => record.inputSeq),
    stateHash: concat(records.map((record) => record.stateHash)),
  });
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

function withoutTypeName(record: QueueRecord): Omit<QueueRecord, "$typeName" | "$unknown"> {
  const { $typeName: _name, $unknown: _unknown, ...fields } = record;
  return fields;
}
