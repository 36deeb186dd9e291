import { type ClockSpec, continuousClock } from "@qmtl/core/dataflow";
import { laterBucketEnd } from "@qmtl/core/intervals";
import type { ReplayFeed } from "../../../sources/replay-feed.ts";
import type { QueueReplica } from "./queue-replica.ts";

/** A queue whose rows are pushed into the graph: a stream of the strategy, or what a tag query found. */
export interface OnlineInput {
  readonly nodeId: string;
  /** Entry of `sources:` from which the rows come; empty for a computed queue. */
  readonly source: string;
  readonly clock: ClockSpec;
  readonly replica: QueueReplica;
  /** The file behind it, for rows before the queue begins; undefined if there is none here. */
  readonly feed: ReplayFeed | undefined;
}

/** First row that an input can have; NaN while that is not known. */
export function firstInputRow({ feed, replica }: OnlineInput): number {
  return feed === undefined ? replica.firstRow : feed.rows.firstRow;
}

/** Last effective row of an input; before its queue has begun, the row before it; NaN while that is not known. */
export function lastInputRow({ feed, replica }: OnlineInput): number {
  if (replica.isStarted) return replica.nextRow - 1;
  return feed === undefined ? Number.NaN : feed.rows.startRow - 1;
}

/**
 * Whether it is decided what an input has at a row: values, a missing bucket, or no row ever.
 *
 * @throws {Error} for a row that has been freed: it would be taken for missing, and the values computed would be wrong.
 */
export function isInputKnown({ replica }: OnlineInput, row: number): boolean {
  if (replica.row(row) !== undefined) return true;
  if (replica.isFreed(row)) {
    throw new Error(`row ${row} of queue ${replica.computeKey} has been freed and is asked for`);
  }
  return (
    replica.isStarted && (row < replica.firstRow || (replica.isEnded && row >= replica.nextRow))
  );
}

/**
 * Values of an input at a row whose content is decided: those of its queue or, before the queue's first row, of its
 * file; undefined where the bucket is missing.
 */
export function inputContent(
  { replica, feed }: OnlineInput,
  row: number,
): Float64Array | undefined {
  const found = replica.row(row);
  if (found !== undefined) return found.content?.values;
  const isPast = replica.isStarted && row < replica.firstRow;
  if (!isPast || feed === undefined || Number.isNaN(feed.bucketEndMs(row))) return undefined;
  return feed.isMissing(row) ? undefined : feed.values(row);
}

/** Whether an input has ended before a row. */
export function isInputEnded({ replica }: OnlineInput, row: number): boolean {
  return replica.isEnded && row >= replica.nextRow;
}

/** End of the bucket of a row as written or as in the file, milliseconds; NaN where neither says. */
export function statedEndMs({ replica, feed, clock }: OnlineInput, row: number): number {
  if (isContinuous(clock)) return (row + 1) * clock.intervalMs;
  return replica.row(row)?.content?.bucketEndMs ?? feed?.bucketEndMs(row) ?? Number.NaN;
}

/** Whether its file has no row from this one on. */
export function isPastFile({ feed }: OnlineInput, row: number): boolean {
  return feed !== undefined && row >= feed.rows.endRow;
}

function isContinuous(clock: ClockSpec): boolean {
  return clock.key === continuousClock(clock.intervalMs).key;
}

/**
 * End of the bucket of a row, milliseconds: as written, else as in the file, else counted in intervals from the last
 * row whose end is known; NaN if there is none.
 */
export function inputRowEndMs(input: OnlineInput, row: number): number {
  const { replica, feed, clock } = input;
  if (isContinuous(clock)) return (row + 1) * clock.intervalMs;
  const freed = replica.lastFreedEnd;
  const first = Math.min(firstInputRow(input), freed?.row ?? Number.POSITIVE_INFINITY);
  for (let at = row; ; at = rowBefore(input, at)) {
    const kept = at === freed?.row ? freed : replica.row(at)?.content;
    const written = kept?.bucketEndMs;
    const endMs = written ?? feed?.bucketEndMs(at) ?? Number.NaN;
    if (!Number.isNaN(endMs)) return laterBucketEnd(endMs, row - at, clock.intervalMs);
    if (!(at > first)) return Number.NaN;
  }
}

/** The nearest row before one of which an end may be known; −∞ for none. A log may begin any number of rows after a file ends. */
function rowBefore({ replica, feed }: OnlineInput, row: number): number {
  let before = Number.NEGATIVE_INFINITY;
  const kept = Math.min(row, replica.nextRow) - 1;
  if (kept >= replica.firstRow) before = kept;
  const freed = replica.lastFreedEnd?.row ?? Number.NaN;
  if (freed < row && freed > before) before = freed;
  if (feed === undefined) return before;
  const inFile = Math.min(row, feed.rows.endRow) - 1;
  return inFile >= feed.rows.firstRow && inFile > before ? inFile : before;
}
