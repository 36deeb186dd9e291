import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { isRecordTime } from "@qmtl/core/queues";
import type { BookedSource } from "@qmtl/sdk/config";
import type { SourceValue } from "../ports.ts";
import type { SourceKey } from "../store/source-key-store.ts";

/** True when the rows of a key have all columns that are booked of its source. */
export function hasColumns(key: SourceKey, { columns }: BookedSource): boolean {
  return columns.every((name) => key.columns.includes(name));
}

/**
 * What the rows of a record bring: of each row a bar of every instrument that it marks, and a rate of every one that it
 * funds. Nothing for other records, for keys without all columns that are booked of their source, and for rows without a
 * time, which older versions stored.
 */
export function valuesOf(
  key: SourceKey,
  { body }: QueueRecord,
  booked: BookedSource,
): SourceValue[] {
  if (body.case !== "rows" || !hasColumns(key, booked)) return [];
  const { value: rows } = body;
  const ends = reader(rows.bucketEndMs);
  const columnOf = (name: string) =>
    reader(rows.columns[key.columns.indexOf(name)] ?? new Uint8Array());
  const [open, high, low, close] = ["open", "high", "low", "close"].map(columnOf);
  const funded = booked.funded.map(({ instrument, column }) => {
    return { instrument, rate: columnOf(column) };
  });
  return Array.from({ length: rows.count }, (_, at) => at).flatMap((at): SourceValue[] => {
    const place = { source: key.source, row: Number(rows.row) + at, bucketEndMs: ends(at) };
    if (!isRecordTime(place.bucketEndMs)) return [];
    const prices = { open: open!(at), high: high!(at), low: low!(at), close: close!(at) };
    return [
      ...booked.marked.map((instrument) => ({ ...place, ...prices, instrument })),
      ...funded.map(({ instrument, rate }) => ({ ...place, instrument, rate: rate(at) })),
    ];
  });
}

/** Little-endian float64 values; NaN beyond the end. */
export function reader(bytes: Uint8Array): (at: number) => number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return (at) => (8 * at + 8 <= view.byteLength ? view.getFloat64(8 * at, true) : Number.NaN);
}
