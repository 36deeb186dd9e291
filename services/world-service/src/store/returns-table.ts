import { type MarkedReturns, makeReturnSeries, type ReturnSeries } from "@qmtl/core/metrics";
import type { Queryable } from "@qmtl/service-kit/db";
import type { SeriesDomain } from "../policy/policy.ts";
import type { SeriesHead } from "./world-rows.ts";

/**
 * Largest number of samples of one stored chunk: few enough that a row stays in its page. A longer row would be
 * compressed and moved out of it, and unpacked again for every sample that is added. Older chunks, of 512 samples, stay
 * in order: their numbers are lower than those of the chunks that follow.
 */
export const chunkSamplesMax = 64;

/** Largest number of samples of one series: 19 years of five-minute bars around the clock. */
export const seriesSamplesMax = 2_000_000;

/** New samples of a series, already cut to what is new. */
export interface SeriesAppend {
  readonly head: SeriesHead;
  /** Stored samples before this append. */
  readonly samplesBefore: number;
  readonly returns: Float64Array;
  readonly bucketEnds: Float64Array;
  readonly exposed: Float64Array;
}

interface HeadRecord {
  strategy_id: string;
  domain: SeriesDomain;
  interval_seconds: number;
  periods_per_year: number;
  samples: number;
  intervals: number;
  ruined_ms: number | null;
  from_ms: number;
  to_ms: number;
  data_end_ms: number;
}

/** Heads of all series of a world. */
export async function readHeads(db: Queryable, worldId: string): Promise<SeriesHead[]> {
  const sql = "SELECT * FROM world.returns_series WHERE world_id = $1";
  const records = await db.query<HeadRecord>(sql, [worldId]);
  return records.map((r) => ({
    strategyId: r.strategy_id,
    domain: r.domain,
    intervalSeconds: r.interval_seconds,
    periodsPerYear: r.periods_per_year,
    samples: r.samples,
    intervals: r.intervals,
    ruinedMs: r.ruined_ms,
    fromMs: r.from_ms,
    toMs: r.to_ms,
    dataEndMs: r.data_end_ms,
  }));
}

/**
 * Appends to any number of series and moves the world's watermark, in one statement: a replay reports
 * at every bucket, so round trips count.
 */
export async function appendReturns(
  db: Queryable,
  worldId: string,
  appends: readonly SeriesAppend[],
  watermarkMs: number | null,
): Promise<void> {
  const chunks = appends.flatMap((append) => chunksOf(append));
  await db.query(
    `WITH w AS (
       UPDATE world.world SET watermark_ms = greatest(watermark_ms, $2::bigint)
       WHERE world_id = $1 AND $2::bigint IS NOT NULL),
     h AS (
       INSERT INTO world.returns_series (world_id, strategy_id, domain, interval_seconds, periods_per_year,
         samples, intervals, ruined_ms, from_ms, to_ms, data_end_ms)
       SELECT $1, r.* FROM jsonb_to_recordset($3::jsonb) AS r(strategy_id text, domain text,
         interval_seconds bigint, periods_per_year double precision, samples integer, intervals integer,
         ruined_ms bigint, from_ms bigint, to_ms bigint, data_end_ms bigint)
       ON CONFLICT (world_id, strategy_id, domain) DO UPDATE SET interval_seconds = excluded.interval_seconds,
         periods_per_year = excluded.periods_per_year, samples = excluded.samples,
         intervals = excluded.intervals, ruined_ms = excluded.ruined_ms, from_ms = excluded.from_ms, to_ms = excluded.to_ms, data_end_ms = excluded.data_end_ms)
     INSERT INTO world.returns_chunk AS c (world_id, strategy_id, domain, chunk, returns, bucket_ends, exposed)
     SELECT $1, r.strategy_id, r.domain, r.chunk, decode(r.returns, 'hex'), decode(r.ends, 'hex'),
       decode(r.exposed, 'hex')
     FROM jsonb_to_recordset($4::jsonb) AS r(strategy_id text, domain text, chunk integer, returns text,
       ends text, exposed text)
     ON CONFLICT (world_id, strategy_id, domain, chunk) DO UPDATE SET returns = c.returns || excluded.returns,
       bucket_ends = c.bucket_ends || excluded.bucket_ends, exposed = c.exposed || excluded.exposed`,
    [worldId, watermarkMs, JSON.stringify(appends.map(headRecord)), JSON.stringify(chunks)],
  );
}

/** Deletes the samples of a series: a backtest is replaced, not continued. */
export async function clearReturns(
  db: Queryable,
  worldId: string,
  strategyId: string,
  domain: SeriesDomain,
): Promise<void> {
  const sql =
    "DELETE FROM world.returns_chunk WHERE world_id = $1 AND strategy_id = $2 AND domain = $3";
  await db.query(sql, [worldId, strategyId, domain]);
}

/** A stored series: its returns from mark to mark, and what figures are computed from. */
export interface StoredSeries {
  readonly strategyId: string;
  readonly marked: MarkedReturns;
  readonly series: ReturnSeries;
}

/** All series of a world, read whole. */
export async function readSeries(
  db: Queryable,
  worldId: string,
  heads: Iterable<SeriesHead>,
): Promise<StoredSeries[]> {
  const chunks = await db.query<{
    strategy_id: string;
    domain: string;
    returns: Uint8Array;
    bucket_ends: Uint8Array;
  }>(
    `SELECT strategy_id, domain, returns, bucket_ends FROM world.returns_chunk WHERE world_id = $1
     ORDER BY strategy_id, domain, chunk`,
    [worldId],
  );
  return [...heads].map((head) => {
    const mine = chunks.filter(
      (c) => c.strategy_id === head.strategyId && c.domain === head.domain,
    );
    const returns = floatsFromBytes(Buffer.concat(mine.map((c) => c.returns)));
    const endsMs = floatsFromBytes(Buffer.concat(mine.map((c) => c.bucket_ends)));
    const { strategyId, intervalSeconds, periodsPerYear, domain: source } = head;
    const marked = { intervalSeconds, periodsPerYear, source, returns, endsMs };
    return { strategyId, marked, series: makeReturnSeries(marked) };
  });
}

/** Bucket ends of a series, in order. */
export async function readBucketEnds(
  db: Queryable,
  worldId: string,
  { strategyId, domain }: Pick<SeriesHead, "strategyId" | "domain">,
): Promise<Float64Array> {
  const chunks = await db.query<{ bucket_ends: Uint8Array }>(
    `SELECT bucket_ends FROM world.returns_chunk WHERE world_id = $1 AND strategy_id = $2 AND domain = $3
     ORDER BY chunk`,
    [worldId, strategyId, domain],
  );
  return floatsFromBytes(Buffer.concat(chunks.map((chunk) => chunk.bucket_ends)));
}

/** Little-endian float64 values of bytes, copied, so that alignment does not matter. */
function floatsFromBytes(bytes: Uint8Array): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float64Array(Math.floor(bytes.byteLength / 8));
  for (let index = 0; index < values.length; index++) {
    values[index] = view.getFloat64(index * 8, true);
  }
  return values;
}

/** Values as little-endian float64 bytes. */
export function bytesFromFloats(values: Float64Array): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => {
    view.setFloat64(index * 8, value, true);
  });
  return bytes;
}

function chunksOf(append: SeriesAppend): Record<string, unknown>[] {
  const chunks: Record<string, unknown>[] = [];
  let from = 0;
  while (from < append.returns.length) {
    const at = append.samplesBefore + from;
    const chunk = Math.floor(at / chunkSamplesMax);
    const until = Math.min(append.returns.length, from + (chunk + 1) * chunkSamplesMax - at);
    chunks.push({
      strategy_id: append.head.strategyId,
      domain: append.head.domain,
      chunk,
      returns: hex(append.returns.subarray(from, until)),
      ends: hex(append.bucketEnds.subarray(from, until)),
      exposed: hex(append.exposed.subarray(from, until)),
    });
    from = until;
  }
  return chunks;
}

function headRecord({ head }: SeriesAppend): HeadRecord {
  return {
    strategy_id: head.strategyId,
    domain: head.domain,
    interval_seconds: head.intervalSeconds,
    periods_per_year: head.periodsPerYear,
    samples: head.samples,
    intervals: head.intervals,
    ruined_ms: head.ruinedMs,
    from_ms: head.fromMs,
    to_ms: head.toMs,
    data_end_ms: head.dataEndMs,
  };
}

function hex(values: Float64Array): string {
  return Buffer.from(bytesFromFloats(values)).toString("hex");
}
