import { type QueueRecord, RecordKind } from "@qmtl/contracts/qmtl/data/v1/queue_data_pb";
import type { SourceBar } from "../ports.ts";
import type { SourceKey } from "../store/source-key-store.ts";

/** Columns that make a bar. */
export const BAR_COLUMNS = ["open", "high", "low", "close"] as const;

/** True when the rows of a key are bars of an instrument. */
export function hasBars(key: SourceKey): boolean {
  return key.instrument !== "" && BAR_COLUMNS.every((name) => key.columns.includes(name));
}

/** The bars of a ROW record, or a run of them; none for other kinds and other keys. */
export function barsOf(key: SourceKey, record: QueueRecord): SourceBar[] {
  if (record.kind !== RecordKind.ROW || !hasBars(key)) return [];
  const count = Math.max(record.count, 1);
  const ends = reader(record.bucketEndMs);
  const [open, high, low, close] = BAR_COLUMNS.map((name) =>
    reader(record.columns[key.columns.indexOf(name)] ?? new Uint8Array()),
  );
  return Array.from({ length: count }, (_, at) => ({
    source: key.source,
    instrument: key.instrument,
    row: Number(record.row) + at,
    bucketEndMs: ends(at),
    open: open!(at),
    high: high!(at),
    low: low!(at),
    close: close!(at),
  }));
}

/** Little-endian float64 values; NaN beyond the end. */
export function reader(bytes: Uint8Array): (at: number) => number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return (at) => (8 * at + 8 <= view.byteLength ? view.getFloat64(8 * at, true) : Number.NaN);
}
