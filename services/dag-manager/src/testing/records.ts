import { create, enumToJson, type MessageInitShape } from "@bufbuild/protobuf";
import type { PublishResult } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import {
  EndReason,
  type QueueRecord,
  QueueRecordSchema,
  RecordFaultSchema,
  type Rows,
  RowsSchema,
  type Start,
  type StartSchema,
} from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";

type StartInit = Exclude<MessageInitShape<typeof StartSchema>, Start>;
type RowsInit = Exclude<MessageInitShape<typeof RowsSchema>, Rows>;

/** A copy of a record of rows with other fields. */
export function changedRows(record: QueueRecord, fields: RowsInit): QueueRecord {
  const { $typeName: _name, ...old } = rowsOf(record);
  const value = create(RowsSchema, { ...old, ...fields });
  return create(QueueRecordSchema, { ...record, body: { case: "rows", value } });
}

export function rowsOf({ body }: QueueRecord): Rows {
  if (body.case !== "rows") throw new Error("a record without rows");
  return body.value;
}

const dayMs = 86_400_000;
/** Bucket end of row 0 of the test feeds. */
export const firstBucketEndMs = Date.UTC(2015, 0, 3);

export const float64s = (...values: number[]): Uint8Array<ArrayBuffer> =>
  new Uint8Array(new Float64Array(values).buffer);

/** The first START of a key. */
export function start(computeKey: string, epoch: number, more: StartInit = {}): QueueRecord {
  return laterStart(computeKey, epoch, { origin: { row: 0n, warmFromRow: 0n }, ...more });
}

/** A START of a key that has an origin already. */
export function laterStart(computeKey: string, epoch: number, more: StartInit = {}): QueueRecord {
  const value = { build: "b", ...more };
  return create(QueueRecordSchema, {
    computeKey,
    leaseEpoch: BigInt(epoch),
    body: { case: "start", value },
  });
}

/** The outcome of a record as tests state it: its fault, such as `STALE_EPOCH`, or "ok" when it is effective. */
export function outcomeOf({ effective, fault }: PublishResult): string {
  return effective
    ? "ok"
    : String(enumToJson(RecordFaultSchema, fault)).slice("RECORD_FAULT_".length);
}

/** A record of one row whose seq is its row number. */
export function row(computeKey: string, epoch: number, at: number, value = at): QueueRecord {
  return create(QueueRecordSchema, {
    computeKey,
    leaseEpoch: BigInt(epoch),
    seq: BigInt(at),
    body: {
      case: "rows",
      value: {
        row: BigInt(at),
        count: 1,
        bucketEndMs: float64s(firstBucketEndMs + at * dayMs),
        knownAtMs: float64s(firstBucketEndMs + at * dayMs),
        columns: [float64s(value)],
        stateHash: float64s(at),
      },
    },
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
    seq: BigInt(seq),
    body: { case: "end", value: { reason: EndReason.DATA_END } },
  });
}

/** Values of the first column of all rows among the records. */
export function valuesOf(records: readonly QueueRecord[]): number[] {
  return records.flatMap(({ body }) => {
    if (body.case !== "rows") return [];
    return [...new Float64Array(new Uint8Array(body.value.columns[0]!).buffer)];
  });
}
