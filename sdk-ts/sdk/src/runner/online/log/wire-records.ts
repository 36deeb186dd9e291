import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  EndReason,
  QueueRecordSchema,
  type Rows,
  type Start,
  type QueueRecord as WireRecord,
} from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { QueueRecord as FoldRecord, QueueOrigin } from "@qmtl/core/queues";

/** Content of a row, apart from its position in the log. */
export interface RowContent {
  /** End of the bucket, milliseconds since the epoch. */
  readonly bucketEndMs: number;
  /** One number per output; NaN = no value. */
  readonly values: Float64Array;
  /** Seq per input port. */
  readonly inputSeq: readonly number[];
  /** 8 bytes, or none. */
  readonly stateHash: Uint8Array;
  /** 8 bytes, or none. */
  readonly windowHash: Uint8Array;
}

/** Content of a START; the DAG Manager sets its session, from the ticket. */
export interface StartContent {
  readonly build: string;
  /** Set for replay feeds. */
  readonly feedFingerprint: string;
}

/** A queue record as the fold takes it, with its content. */
export interface CarriedRecord extends FoldRecord {
  readonly content?: RowContent;
  readonly start?: StartContent;
}

const none = new Uint8Array();

/**
 * Splits a record of several rows into single records, as the fold reads them. A record without a body is void and
 * yields none.
 */
export function* singleRecords(record: WireRecord): Generator<CarriedRecord> {
  const epoch = Number(record.leaseEpoch);
  const seq = Number(record.seq);
  const { body } = record;
  switch (body.case) {
    case "start":
      yield startRecord(body.value, epoch);
      return;
    case "rows":
      yield* rowRecords(body.value, epoch, seq);
      return;
    case "empty": {
      const row = Number(body.value.row);
      const { knownAtMs } = body.value;
      const known = knownAtMs === undefined ? {} : { knownAtMs };
      yield { kind: "EMPTY", epoch, seq, row, toRow: Number(body.value.toRow), ...known };
      return;
    }
    case "mark":
      yield { kind: "MARK", epoch, seq, watermarkMs: Number(body.value.watermarkMs) };
      return;
    case "end":
      yield { kind: "END", epoch, seq };
      return;
    case undefined:
      return;
  }
}

function startRecord(start: Start, epoch: number): CarriedRecord {
  const { build, feedFingerprint, origin } = start;
  const record = { kind: "START" as const, epoch, start: { build, feedFingerprint } };
  if (origin === undefined) return record;
  const at: QueueOrigin = {
    row: Number(origin.row),
    warmFromRow: Number(origin.warmFromRow),
    stateHash: Buffer.from(origin.stateHash).toString("hex"),
  };
  return { ...record, origin: at };
}

function* rowRecords(run: Rows, epoch: number, firstSeq: number): Generator<CarriedRecord> {
  const { count, revision, columns } = run;
  // A part of the message would keep all of it: rows are kept longer.
  const windowHash = run.windowHash.length === 0 ? none : run.windowHash.slice();
  const firstRow = Number(run.row);
  const ports = run.inputSeq.length / count;
  for (let at = 0; at < count; at++) {
    const values = new Float64Array(columns.length);
    for (let output = 0; output < columns.length; output++)
      values[output] = float64At(columns[output]!, at);
    const content: RowContent = {
      bucketEndMs: float64At(run.bucketEndMs, at),
      values,
      inputSeq: run.inputSeq.slice(ports * at, ports * (at + 1)).map(Number),
      stateHash: run.stateHash.length === 0 ? none : run.stateHash.slice(8 * at, 8 * (at + 1)),
      windowHash,
    };
    yield {
      kind: revision === 0 ? "ROW" : "REV",
      epoch,
      seq: firstSeq + at,
      row: firstRow + at,
      rev: revision,
      knownAtMs: float64At(run.knownAtMs, at),
      content,
    };
  }
}

/** A record on the wire. */
export function wireRecord(computeKey: string, record: CarriedRecord): WireRecord {
  return create(QueueRecordSchema, {
    computeKey,
    leaseEpoch: BigInt(record.epoch),
    seq: BigInt(record.seq ?? 0),
    body: wireBody(record),
  });
}

type WireBody = NonNullable<MessageInitShape<typeof QueueRecordSchema>["body"]>;

function wireBody(record: CarriedRecord): WireBody {
  const { content, row = 0 } = record;
  switch (record.kind) {
    case "START":
      return { case: "start", value: { ...record.start, ...wireOrigin(record.origin) } };
    case "EMPTY": {
      const { toRow = row, knownAtMs } = record;
      const known = knownAtMs === undefined ? {} : { knownAtMs };
      return { case: "empty", value: { row: BigInt(row), toRow: BigInt(toRow), ...known } };
    }
    case "MARK":
      return { case: "mark", value: { watermarkMs: BigInt(record.watermarkMs ?? 0) } };
    case "END":
      return { case: "end", value: { reason: EndReason.DATA_END } };
    case "ROW":
    case "REV":
      return {
        case: "rows",
        value: {
          row: BigInt(row),
          count: 1,
          bucketEndMs: float64Bytes([content?.bucketEndMs ?? Number.NaN]),
          knownAtMs: float64Bytes([record.knownAtMs ?? Number.NaN]),
          columns: Array.from(content?.values ?? [], (value) => float64Bytes([value])),
          inputSeq: (content?.inputSeq ?? []).map(BigInt),
          stateHash: content?.stateHash ?? none,
          windowHash: content?.windowHash ?? none,
          revision: record.rev ?? 0,
        },
      };
  }
}

function wireOrigin(origin: QueueOrigin | undefined) {
  if (origin === undefined) return {};
  const stateHash = Buffer.from(origin.stateHash, "hex");
  return {
    origin: { row: BigInt(origin.row), warmFromRow: BigInt(origin.warmFromRow), stateHash },
  };
}

/** One number, and its bytes: a view of each small array would cost more than copying them. */
const number = new DataView(new ArrayBuffer(8));
const numberBytes = new Uint8Array(number.buffer);

/** Numbers as little-endian float64; every NaN has the same bytes. */
export function float64Bytes(values: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8 * values.length);
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    if (Number.isNaN(value)) number.setBigUint64(0, 0x7ff8000000000000n, true);
    else number.setFloat64(0, value, true);
    for (let byte = 0; byte < 8; byte++) bytes[8 * at + byte] = numberBytes[byte]!;
  }
  return bytes;
}

/** A number of a column of little-endian float64, by its index; NaN beyond the end. */
function float64At(bytes: Uint8Array, at: number): number {
  if (8 * at + 8 > bytes.length) return Number.NaN;
  for (let byte = 0; byte < 8; byte++) numberBytes[byte] = bytes[8 * at + byte]!;
  return number.getFloat64(0, true);
}
