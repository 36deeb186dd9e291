import { fromBinary } from "@bufbuild/protobuf";
import { type QueueRecord, QueueRecordSchema } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { FoldState } from "@qmtl/core/queues";
import type { Queryable, SqlParam, Tx } from "@qmtl/service-kit/db";
import { encodedRecord } from "./encoded-record.ts";
import type { LogEntry } from "./queue-log.ts";
import { firstRowOf, kindOf, lastKnownAtMs, lastRowOf, runLength } from "./record-run.ts";

/** A head as it is stored, with what else an append must know. */
export interface HeadRow {
  compute_key: string;
  next_offset: number;
  epoch: number;
  next_seq: number;
  next_row: number;
  known_at_ms: number | null;
  watermark_ms: number | null;
  is_ended: boolean;
  last_bucket_end_ms: number | null;
  feed_fingerprint: string;
  origin_row: number | null;
  is_blocked: boolean;
  columns: number;
  /** Which of the columns hold bytes. */
  bytes_columns: number[];
  interval_seconds: number;
  source: string;
  is_source: boolean;
  granted_epoch: number;
}

const headColumns = `h.compute_key, h.next_offset, h.epoch, h.next_seq, h.next_row, h.known_at_ms, h.watermark_ms,
  h.is_ended, h.last_bucket_end_ms, h.feed_fingerprint, h.origin_row, h.columns, h.source, h.is_source, h.granted_epoch,
  h.is_blocked, q.interval_seconds, array(select c.at - 1 from jsonb_array_elements(q.columns) with ordinality as c(spec, at)
    where c.spec->>'kind' = 'bytes') as bytes_columns`;
const headTables = "dag.queue_head h join dag.queue q using (compute_key)";

/** Reads the heads of the keys and locks them until the transaction ends, always in the same order. */
export function lockHeads(tx: Tx, keys: readonly string[]): Promise<HeadRow[]> {
  if (keys.length === 1) {
    return tx.query<HeadRow>(
      `select ${headColumns} from ${headTables} where h.compute_key = $1 for update of h`,
      [keys[0]!],
    );
  }
  return tx.query<HeadRow>(
    `select ${headColumns} from ${headTables} where h.compute_key = any($1::text[])
     order by h.compute_key for update of h`,
    [keys],
  );
}

/** Limits of the feeds among the heads' sources, milliseconds since 1970; null for no limit. */
export async function feedLimits(
  tx: Tx,
  heads: readonly HeadRow[],
): Promise<Map<string, number | null>> {
  const sources = new Set(heads.flatMap((head) => (head.is_source ? [head.source] : [])));
  sources.delete("");
  if (sources.size === 0) return new Map();
  const rows = await tx.query<{ source: string; until_ms: number | null }>(
    "select source, until_ms from dag.feed where source = any($1::text[])",
    [[...sources]],
  );
  return new Map(rows.map((row) => [row.source, row.until_ms]));
}

/** Columns of a head from which its fold is built. */
export type FoldColumns = Pick<
  HeadRow,
  "epoch" | "next_seq" | "next_row" | "known_at_ms" | "watermark_ms" | "is_ended"
>;

export function foldOfHead(head: FoldColumns): FoldState {
  return {
    epoch: head.epoch,
    seq: head.next_seq,
    nextRow: head.next_row,
    knownAtMs: head.known_at_ms ?? Number.NEGATIVE_INFINITY,
    watermarkMs: head.watermark_ms ?? Number.NEGATIVE_INFINITY,
    ended: head.is_ended,
  };
}

/** A head to write back. */
export interface HeadUpdate {
  readonly computeKey: string;
  readonly nextOffset: number;
  readonly fold: FoldState;
  readonly lastBucketEndMs: number | null;
  readonly feedFingerprint: string;
  readonly voidRecords: number;
  /** Set by the first START of the key. */
  readonly origin: { row: number; warmFromRow: number; stateHash: Uint8Array } | undefined;
}

/** Writes entries and heads in one statement. Every value is a parameter of its own: that is planned fastest. */
export async function writeAppend(
  tx: Tx,
  entries: readonly LogEntry[],
  heads: readonly HeadUpdate[],
): Promise<void> {
  const params: SqlParam[] = [];
  const added = entries.map((entry) => tuple(params, entryValues(entry)));
  const insert =
    added.length === 0
      ? ""
      : `with added as (insert into dag.queue_record (compute_key, log_offset, kind, epoch, seq, count,
           first_row, last_row, known_at_ms, bytes) values ${added.join(",")})`;
  const updated = heads.map((head) => tuple(params, headValues(head), headTypes));
  await tx.query(
    `${insert} update dag.queue_head h set next_offset = u.next_offset, epoch = u.epoch, next_seq = u.next_seq,
       next_row = u.next_row, known_at_ms = u.known_at_ms, watermark_ms = u.watermark_ms,
       is_ended = u.is_ended, last_bucket_end_ms = u.last_bucket_end_ms,
       feed_fingerprint = u.feed_fingerprint, void_records = h.void_records + u.void_records,
       origin_row = coalesce(h.origin_row, u.origin_row),
       origin_warm_from_row = coalesce(h.origin_warm_from_row, u.origin_warm_from_row),
       origin_state_hash = coalesce(h.origin_state_hash, u.origin_state_hash)
     from (values ${updated.join(",")}) as u(k, next_offset, epoch, next_seq, next_row, known_at_ms,
       watermark_ms, is_ended, last_bucket_end_ms, feed_fingerprint, void_records, origin_row,
       origin_warm_from_row, origin_state_hash)
     where h.compute_key = u.k`,
    params,
  );
}

/** Adds values to the parameters; returns the SQL tuple of their placeholders. */
function tuple(params: SqlParam[], values: readonly SqlParam[], types?: readonly string[]): string {
  const places = values.map((_, at) => {
    const place = `$${params.length + at + 1}`;
    return types === undefined ? place : `${place}::${types[at]}`;
  });
  params.push(...values);
  return `(${places.join(",")})`;
}

function entryValues(entry: LogEntry): SqlParam[] {
  const { record } = entry;
  const count = runLength(record);
  const knownAtMs = lastKnownAtMs(record);
  return [
    entry.computeKey,
    entry.offset,
    kindOf(record),
    Number(record.leaseEpoch),
    entry.seq,
    count,
    firstRowOf(record),
    lastRowOf(record),
    Number.isFinite(knownAtMs) ? knownAtMs : null,
    encodedRecord(record),
  ];
}

const headTypes = [
  ...["text", "bigint", "bigint", "bigint", "bigint", "float8", "float8", "boolean", "float8"],
  ...["text", "bigint", "bigint", "bigint", "bytea"],
];

function headValues(head: HeadUpdate): SqlParam[] {
  const { fold, origin } = head;
  return [
    head.computeKey,
    head.nextOffset,
    fold.epoch,
    fold.seq,
    fold.nextRow,
    Number.isFinite(fold.knownAtMs) ? fold.knownAtMs : null,
    Number.isFinite(fold.watermarkMs) ? fold.watermarkMs : null,
    fold.ended,
    head.lastBucketEndMs,
    head.feedFingerprint,
    head.voidRecords,
    origin?.row ?? null,
    origin?.warmFromRow ?? null,
    origin?.stateHash ?? null,
  ];
}

/** A head as it stands after an update. */
export function headAfter(head: HeadRow, update: HeadUpdate): HeadRow {
  const { fold, origin } = update;
  return {
    ...head,
    next_offset: update.nextOffset,
    epoch: fold.epoch,
    next_seq: fold.seq,
    next_row: fold.nextRow,
    known_at_ms: fold.knownAtMs,
    watermark_ms: fold.watermarkMs,
    is_ended: fold.ended,
    last_bucket_end_ms: update.lastBucketEndMs,
    feed_fingerprint: update.feedFingerprint,
    origin_row: head.origin_row ?? origin?.row ?? null,
  };
}

interface EntryRow {
  compute_key: string;
  log_offset: number;
  seq: number;
  bytes: Uint8Array;
}

/** Entries from each offset on, in order per key. */
export async function readEntries(
  db: Queryable,
  from: readonly { readonly computeKey: string; readonly offset: number }[],
  perKeyMax: number,
): Promise<LogEntry[]> {
  const rows = await db.query<EntryRow>(
    `select r.compute_key, r.log_offset, r.seq, r.bytes
     from unnest($1::text[], $2::bigint[]) as p(k, o)
     join lateral (select e.compute_key, e.log_offset, e.seq, e.bytes from dag.queue_record e
       where e.compute_key = p.k and e.log_offset >= p.o order by e.log_offset limit $3) r on true
     order by r.compute_key, r.log_offset`,
    [from.map((item) => item.computeKey), from.map((item) => item.offset), perKeyMax],
  );
  return rows.map(entryFromRow);
}

/** The newest or oldest entry of a key that meets `where`: a condition on `e`, in which `$2` is `value`. */
export async function findEntry(
  db: Queryable,
  computeKey: string,
  where: string,
  value: number,
  order: "oldest" | "newest",
): Promise<LogEntry | undefined> {
  const direction = order === "oldest" ? "asc" : "desc";
  const [row] = await db.query<EntryRow>(
    `select e.compute_key, e.log_offset, e.seq, e.bytes from dag.queue_record e
     where e.compute_key = $1 and ${where} order by e.log_offset ${direction} limit 1`,
    [computeKey, value],
  );
  return row === undefined ? undefined : entryFromRow(row);
}

function entryFromRow(row: EntryRow): LogEntry {
  const record: QueueRecord = fromBinary(QueueRecordSchema, row.bytes);
  return { computeKey: row.compute_key, offset: row.log_offset, seq: row.seq, record };
}
