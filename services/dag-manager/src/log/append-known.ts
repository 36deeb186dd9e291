import type { Db } from "@qmtl/service-kit/db";
import { encodedRecord } from "./encoded-record.ts";
import type { HeadRow, HeadUpdate } from "./log-tables.ts";
import type { LogEntry } from "./queue-log.ts";
import { firstRowOf, kindOf, lastKnownAtMs, lastRowOf, runLength } from "./record-run.ts";

/** One key of an append: its head when the records were folded over it, and the head after them. */
export interface KnownAppend {
  readonly before: HeadRow;
  readonly update: HeadUpdate;
}

/**
 * Writes an append of new records, which was folded over heads known from before, in one statement that commits by
 * itself. Writes all of it, or nothing when a head has moved or is blocked, or when `leader` no longer leads
 * (undefined: no other process can lead). Resolves to true when written.
 *
 * Every entry moves its key's next offset, so a head at the same offset is the head that was folded over.
 */
export async function appendKnown(
  db: Db,
  appends: readonly KnownAppend[],
  entries: readonly LogEntry[],
  leader: string | undefined,
): Promise<boolean> {
  const heads = appends.map(headJson).sort((a, b) => (a.k < b.k ? -1 : 1));
  const [row] = await db.query<{ is_written: boolean }>(
    "select dag.append_known($1::jsonb, $2::jsonb, $3) as is_written",
    [JSON.stringify(heads), JSON.stringify(entries.map(entryJson)), leader ?? null],
  );
  return row!.is_written;
}

function headJson({ before, update }: KnownAppend) {
  const { fold } = update;
  return {
    k: update.computeKey,
    was: before.next_offset,
    next_offset: update.nextOffset,
    epoch: fold.epoch,
    next_seq: fold.seq,
    next_row: fold.nextRow,
    known_at_ms: finite(fold.knownAtMs),
    watermark_ms: finite(fold.watermarkMs),
    is_ended: fold.ended,
    last_bucket_end_ms: update.lastBucketEndMs,
  };
}

function entryJson({ computeKey, offset, seq, record }: LogEntry) {
  const bytes = encodedRecord(record);
  return {
    compute_key: computeKey,
    log_offset: offset,
    kind: kindOf(record),
    epoch: Number(record.leaseEpoch),
    seq,
    count: runLength(record),
    first_row: firstRowOf(record),
    last_row: lastRowOf(record),
    known_at_ms: finite(lastKnownAtMs(record)),
    bytes: `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")}`,
  };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
