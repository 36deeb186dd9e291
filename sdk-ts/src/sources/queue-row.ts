import { create } from "@bufbuild/protobuf";
import {
  EndReason,
  QueueRecordSchema,
  RecordKind,
  type QueueRecord as WireRecord,
} from "@qmtl/contracts/qmtl/data/v1/queue_data_pb";
import type {
  QueueRecord as FoldRecord,
  RecordKind as Kind,
  QueueOrigin,
} from "../queues/index.ts";

/** What a row carries beside its place in the log. */
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

/** What a START carries. */
export interface StartContent {
  readonly sessionId: string;
  readonly build: string;
  /** Set for the sources of replays. */
  readonly feedFingerprint: string;
}

/** A queue record as the fold takes it, with its content. */
export interface CarriedRecord extends FoldRecord {
  readonly content?: RowContent;
  readonly start?: StartContent;
}

const kinds: Readonly<Record<number, Kind>> = {
  [RecordKind.START]: "START",
  [RecordKind.ROW]: "ROW",
  [RecordKind.EMPTY]: "EMPTY",
  [RecordKind.MARK]: "MARK",
  [RecordKind.END]: "END",
};
const wireKinds: Readonly<Record<Kind, RecordKind>> = {
  START: RecordKind.START,
  ROW: RecordKind.ROW,
  EMPTY: RecordKind.EMPTY,
  MARK: RecordKind.MARK,
  END: RecordKind.END,
  REV: RecordKind.REV,
};

const none = new Uint8Array();

/** Takes a run apart into single records, as the fold reads them. */
export function* singleRecords(record: WireRecord): Generator<CarriedRecord> {
  const kind = kinds[record.kind] ?? "REV";
  const base = { kind, epoch: Number(record.leaseEpoch) };
  if (kind === "START") {
    yield startRecord(record, base);
    return;
  }
  const seq = Number(record.seq);
  const row = Number(record.row);
  if (kind === "MARK") yield { ...base, seq, watermarkMs: Number(record.watermarkMs) };
  else if (kind === "EMPTY") {
    const [knownAtMs] = float64Column(record.knownAtMs);
    const known = knownAtMs === undefined ? {} : { knownAtMs };
    yield { ...base, seq, row, toRow: Math.max(row, Number(record.toRow)), ...known };
  } else if (kind === "END") yield { ...base, seq };
  else yield* rows(record, base, Math.max(1, record.count));
}

function startRecord(
  record: WireRecord,
  base: { readonly kind: Kind; readonly epoch: number },
): CarriedRecord {
  const { sessionId, build, feedFingerprint, origin } = record;
  const start = { sessionId, build, feedFingerprint };
  if (origin === undefined) return { ...base, start };
  const at: QueueOrigin = {
    row: Number(origin.row),
    warmFromRow: Number(origin.warmFromRow),
    stateHash: Buffer.from(origin.stateHash).toString("hex"),
  };
  return { ...base, start, origin: at };
}

function* rows(
  record: WireRecord,
  base: { readonly kind: Kind; readonly epoch: number },
  count: number,
): Generator<CarriedRecord> {
  const columns = record.columns.map(float64Column);
  const ends = float64Column(record.bucketEndMs);
  const known = float64Column(record.knownAtMs);
  const ports = record.inputSeq.length / count;
  for (let at = 0; at < count; at++) {
    const content: RowContent = {
      bucketEndMs: ends[at] ?? Number.NaN,
      values: Float64Array.from(columns, (column) => column[at] ?? Number.NaN),
      inputSeq: record.inputSeq.slice(ports * at, ports * (at + 1)).map(Number),
      stateHash: record.stateHash.slice(8 * at, 8 * (at + 1)),
      windowHash: record.windowHash,
    };
    yield {
      ...base,
      seq: Number(record.seq) + at,
      row: Number(record.row) + at,
      rev: record.rev,
      knownAtMs: known[at] ?? Number.NaN,
      content,
    };
  }
}

/** A record on the wire. */
export function wireRecord(computeKey: string, record: CarriedRecord): WireRecord {
  const { content, start, origin } = record;
  const base = {
    computeKey,
    leaseEpoch: BigInt(record.epoch),
    kind: wireKinds[record.kind],
    seq: BigInt(record.seq ?? 0),
    row: BigInt(record.row ?? 0),
    count: 1,
  };
  if (record.kind === "END") {
    return create(QueueRecordSchema, { ...base, endReason: EndReason.DATA_END });
  }
  if (record.kind === "EMPTY") {
    const { row = 0, toRow = row, knownAtMs } = record;
    const known = knownAtMs === undefined ? {} : { knownAtMs: float64Bytes([knownAtMs]) };
    return create(QueueRecordSchema, { ...base, toRow: BigInt(toRow), ...known });
  }
  if (record.kind === "START") {
    const first =
      origin === undefined
        ? {}
        : {
            origin: {
              row: BigInt(origin.row),
              warmFromRow: BigInt(origin.warmFromRow),
              stateHash: Buffer.from(origin.stateHash, "hex"),
            },
          };
    return create(QueueRecordSchema, { ...base, ...start, ...first, count: 0 });
  }
  return create(QueueRecordSchema, {
    ...base,
    bucketEndMs: float64Bytes([content?.bucketEndMs ?? Number.NaN]),
    knownAtMs: float64Bytes([record.knownAtMs ?? Number.NaN]),
    columns: Array.from(content?.values ?? [], (value) => float64Bytes([value])),
    inputSeq: (content?.inputSeq ?? []).map(BigInt),
    stateHash: content?.stateHash ?? none,
    windowHash: content?.windowHash ?? none,
  });
}

/** Numbers as little-endian float64 with one NaN. */
export function float64Bytes(values: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8 * values.length);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    if (Number.isNaN(value)) view.setBigUint64(8 * at, 0x7ff8000000000000n, true);
    else view.setFloat64(8 * at, value, true);
  }
  return bytes;
}

function float64Column(bytes: Uint8Array): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float64Array.from({ length: Math.floor(bytes.byteLength / 8) }, (_, at) =>
    view.getFloat64(8 * at, true),
  );
}
