import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  EndReason,
  type QueueRecord,
  QueueRecordSchema,
  RecordKind,
} from "@qmtl/contracts/qmtl/data/v1/queue_data_pb";

type RecordInit = Exclude<MessageInitShape<typeof QueueRecordSchema>, QueueRecord>;

/** A copy of a record with other fields. */
export function changed(record: QueueRecord, fields: RecordInit): QueueRecord {
  return Object.assign(clone(QueueRecordSchema, record), fields);
}

const dayMs = 86_400_000;
/** Bucket end of row 0 of the test feeds. */
export const firstBucketEndMs = Date.UTC(2015, 0, 3);

export const float64s = (...values: number[]): Uint8Array<ArrayBuffer> =>
  new Uint8Array(new Float64Array(values).buffer);

export function start(computeKey: string, epoch: number, more: RecordInit = {}): QueueRecord {
  const origin = { row: 0n, warmFromRow: 0n };
  const init = {
    computeKey,
    leaseEpoch: BigInt(epoch),
    kind: RecordKind.START,
    sessionId: "s",
    build: "b",
    origin,
  };
  return create(QueueRecordSchema, { ...init, ...more });
}

/** One row whose seq is its row; its value is given. */
export function row(computeKey: string, epoch: number, at: number, value = at): QueueRecord {
  return create(QueueRecordSchema, {
    computeKey,
    leaseEpoch: BigInt(epoch),
    kind: RecordKind.ROW,
    seq: BigInt(at),
    row: BigInt(at),
    count: 1,
    bucketEndMs: float64s(firstBucketEndMs + at * dayMs),
    knownAtMs: float64s(firstBucketEndMs + at * dayMs),
    columns: [float64s(value)],
    stateHash: float64s(at),
  });
}

export function rows(
  computeKey: string,
  epoch: number,
  from: number,
  count: number,
): QueueRecord[] {
  return Array.from({ length: count }, (_, index) => row(computeKey, epoch, from + index));
}

export function end(computeKey: string, epoch: number, seq: number): QueueRecord {
  return create(QueueRecordSchema, {
    computeKey,
    leaseEpoch: BigInt(epoch),
    kind: RecordKind.END,
    seq: BigInt(seq),
    endReason: EndReason.DATA_END,
  });
}

/** Values of the rows among records, runs taken apart. */
export function valuesOf(records: readonly QueueRecord[]): number[] {
  return records.flatMap((record) => {
    if (record.kind !== RecordKind.ROW) return [];
    return [...new Float64Array(new Uint8Array(record.columns[0]!).buffer)];
  });
}
