import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { SourceBar } from "../ports.ts";
import type { SourceKey } from "../store/source-key-store.ts";

/** Columns that make a bar. */
export const BAR_COLUMNS = ["open", "high", "low", "close"] as const;

/** True when the rows of a key have the columns of a bar. */
export function hasBarColumns(key: SourceKey): boolean {
  return BAR_COLUMNS.every((name) => key.columns.includes(name));
}

/** The bars of a record of rows, one per row and instrument; none for other records and other keys. */
export function barsOf(
  key: SourceKey,
  { body }: QueueRecord,
  instruments: readonly string[],
): SourceBar[] {
  if (body.case !== "rows" || !hasBarColumns(key)) return [];
  const { value: rows } = body;
  const ends = reader(rows.bucketEndMs);
  const [open, high, low, close] = BAR_COLUMNS.map((name) =>
    reader(rows.columns[key.columns.indexOf(name)] ?? new Uint8Array()),
  );
  return Array.from({ length: rows.count }, (_, at) => ({
    source: key.source,
    row: Number(rows.row) + at,
    bucketEndMs: ends(at),
    open: open!(at),
    high: high!(at),
    low: low!(at),
    close: close!(at),
  })).flatMap((bar) => instruments.map((instrument) => ({ ...bar, instrument })));
}

/** Little-endian float64 values; NaN beyond the end. */
export function reader(bytes: Uint8Array): (at: number) => number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return (at) => (8 * at + 8 <= view.byteLength ? view.getFloat64(8 * at, true) : Number.NaN);
}
