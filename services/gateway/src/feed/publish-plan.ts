import { create } from "@bufbuild/protobuf";
import {
  type QueueRecord,
  QueueRecordSchema,
  type Rows,
} from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { isRecordTime, type OfferedRow, runTimesFault } from "@qmtl/core/queues";
import type { SourceKey } from "../store/source-key-store.ts";
import { reader } from "./source-values.ts";

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
  /** Distinguishes the record, or the first of several, from others that wait. */
  readonly record: string;
  readonly row: OfferedRow;
}

/**
 * Cuts a request into parts: rows of replay sources one by one, each with what follows it up to the next one, or to the
 * next START. The order of the records stays. A record whose times are no times waits for nothing, and stays whole.
 */
export function planPublish(
  records: readonly QueueRecord[],
  keyOf: (computeKey: string) => SourceKey | undefined,
): PublishPart[] {
  const parts: { records: QueueRecord[]; indexes: number[]; wait: PartWait | undefined }[] = [];
  records.forEach((record, index) => {
    const key = keyOf(record.computeKey);
    // One without a right time has no place at the barrier: the log refuses it.
    const isTimed = key !== undefined && hasRightTimes(record);
    for (const piece of isTimed ? splitRun(record) : [record]) {
      const wait = isTimed ? waitOf(key, piece) : undefined;
      const last = parts.at(-1);
      const isSame = last?.wait?.source === wait?.source && last?.wait?.row.row === wait?.row.row;
      // Under a new epoch it may go to the log whatever becomes of the rows before.
      const isStart = piece.body.case === "start";
      if (last !== undefined && !isStart && (wait === undefined || isSame)) {
        last.records.push(piece);
        last.indexes.push(index);
      } else parts.push({ records: [piece], indexes: [index], wait });
    }
  });
  return parts;
}

function hasRightTimes({ body }: QueueRecord): boolean {
  if (body.case === "rows") return runTimesFault(body.value) === undefined;
  if (body.case !== "empty") return true;
  const { knownAtMs } = body.value;
  return knownAtMs === undefined || isRecordTime(knownAtMs);
}

function waitOf({ source }: SourceKey, queued: QueueRecord): PartWait | undefined {
  const row = rowOfRecord(queued);
  if (row === undefined) return undefined;
  const { computeKey, body } = queued;
  return { source, record: `${computeKey}/${body.case}/${row.row}`, row };
}

/** The rows of a record, as one; undefined for a record without any. */
export function rowOfRecord({ body }: QueueRecord): OfferedRow | undefined {
  if (body.case !== "rows" && body.case !== "empty") return undefined;
  const row = Number(body.value.row);
  if (body.case === "rows") {
    const { count, bucketEndMs } = body.value;
    return { row, toRow: row + count - 1, timeMs: reader(bucketEndMs)(count - 1) };
  }
  // Empty rows have no bucket of their own: their time is when they were written.
  const { toRow, knownAtMs: timeMs = Number.NEGATIVE_INFINITY } = body.value;
  return { row, toRow: Number(toRow), timeMs };
}

/** The single records of a run; one that is single stays as it is. */
function splitRun(record: QueueRecord): QueueRecord[] {
  const { body } = record;
  if (body.case !== "rows" || body.value.count <= 1) return [record];
  const { value: rows } = body;
  return Array.from({ length: rows.count }, (_, at) => {
    const value = rowOf(rows, at);
    const seq = record.seq + BigInt(at);
    return create(QueueRecordSchema, { ...record, seq, body: { case: "rows", value } });
  });
}

/** Row `at` of a run, alone. */
function rowOf(rows: Rows, at: number): Rows {
  const cut = (bytes: Uint8Array): Uint8Array => bytes.subarray(8 * at, 8 * (at + 1));
  const ports = rows.inputSeq.length / rows.count;
  return {
    ...rows,
    row: rows.row + BigInt(at),
    count: 1,
    bucketEndMs: cut(rows.bucketEndMs),
    knownAtMs: cut(rows.knownAtMs),
    columns: rows.columns.map(cut),
    inputSeq: rows.inputSeq.slice(at * ports, (at + 1) * ports),
    stateHash: cut(rows.stateHash),
  };
}
