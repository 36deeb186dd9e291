import { create } from "@bufbuild/protobuf";
import {
  type QueueRecord,
  QueueRecordSchema,
  RecordKind,
} from "@qmtl/contracts/qmtl/data/v1/queue_data_pb";
import type { HeldRow } from "@qmtl/sdk/queues";
import type { SourceKey } from "../store/source-key-store.ts";
import { reader } from "./source-bars.ts";

/** Records that go to the log together, after the row they wait for. */
export interface PublishPart {
  readonly records: readonly QueueRecord[];
  /** Index in the request of each record. */
  readonly indexes: readonly number[];
  /** Undefined: they wait for nothing. */
  readonly wait: PartWait | undefined;
}

export interface PartWait {
  readonly source: string;
  readonly name: string;
  readonly row: HeldRow;
}

/**
 * Cuts a request into parts: rows of replay sources one by one, each with what follows it up to the next one. The
 * order of the records stays.
 */
export function planPublish(
  records: readonly QueueRecord[],
  keyOf: (computeKey: string) => SourceKey | undefined,
): PublishPart[] {
  const parts: { records: QueueRecord[]; indexes: number[]; wait: PartWait | undefined }[] = [];
  records.forEach((record, index) => {
    const key = keyOf(record.computeKey);
    for (const piece of key === undefined ? [record] : splitRun(record)) {
      const wait = key === undefined ? undefined : waitOf(key, piece);
      const last = parts.at(-1);
      const isSame = last?.wait?.source === wait?.source && last?.wait?.row.row === wait?.row.row;
      if (last !== undefined && (wait === undefined || isSame)) {
        last.records.push(piece);
        last.indexes.push(index);
      } else parts.push({ records: [piece], indexes: [index], wait });
    }
  });
  return parts;
}

function waitOf(key: SourceKey, record: QueueRecord): PartWait | undefined {
  const row = Number(record.row);
  const name = `${record.computeKey}/${record.kind}/${row}`;
  const { source } = key;
  if (record.kind === RecordKind.ROW) {
    const timeMs = reader(record.bucketEndMs)(0);
    return { source, name, row: { row, toRow: row, timeMs } };
  }
  if (record.kind !== RecordKind.EMPTY) return undefined;
  // Rows without a bucket of their own: known when they were written.
  const knownMs = reader(record.knownAtMs)(0);
  const timeMs = Number.isNaN(knownMs) ? Number.NEGATIVE_INFINITY : knownMs;
  return { source, name, row: { row, toRow: Number(record.toRow), timeMs } };
}

/** The single records of a run; one that is single stays as it is. */
function splitRun(record: QueueRecord): QueueRecord[] {
  const { count } = record;
  if (count <= 1) return [record];
  const cut = (bytes: Uint8Array, at: number, width: number) =>
    bytes.length === 0 ? bytes : bytes.subarray(at * width, (at + 1) * width);
  const ports = record.inputSeq.length / count;
  return Array.from({ length: count }, (_, at) =>
    create(QueueRecordSchema, {
      ...record,
      seq: record.seq + BigInt(at),
      row: record.row + BigInt(at),
      count: 1,
      bucketEndMs: cut(record.bucketEndMs, at, 8),
      knownAtMs: cut(record.knownAtMs, at, 8),
      columns: record.columns.map((column) => cut(column, at, 8)),
      inputSeq: record.inputSeq.slice(at * ports, (at + 1) * ports),
      stateHash: cut(record.stateHash, at, 8),
    }),
  );
}
