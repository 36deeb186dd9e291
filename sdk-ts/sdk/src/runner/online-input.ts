import { type ClockSpec, continuousClock } from "@qmtl/core/dataflow";
import type { ReplayFeed } from "../sources/replay-feed.ts";
import type { QueueReplica } from "./queue-replica.ts";

/** A queue whose rows are pushed into the graph: a stream of the strategy, or what a tag query found. */
export interface OnlineInput {
  readonly nodeId: string;
  /** Entry of `sources:` whose rows they are; empty for a queue that is computed. */
  readonly source: string;
  readonly clock: ClockSpec;
  readonly key: QueueReplica;
  /** The file behind it, for rows before the queue begins; undefined: there is none here. */
  readonly feed: ReplayFeed | undefined;
}

/** First row there can be of an input; NaN before anything is known of it. */
export function firstInputRow({ feed, key }: OnlineInput): number {
  return feed === undefined ? key.firstRow : feed.rows.firstRow;
}

/** Last row of an input that is effective or before its queue; NaN before anything is known of it. */
export function lastInputRow({ feed, key }: OnlineInput): number {
  if (key.isStarted) return key.nextRow - 1;
  return feed === undefined ? Number.NaN : feed.rows.startRow - 1;
}

/** Whether it is decided what an input has at a row: values, nothing, or that it never will. */
export function isInputKnown({ key }: OnlineInput, row: number): boolean {
  if (key.row(row) !== undefined) return true;
  return key.isStarted && (row < key.firstRow || (key.isEnded && row >= key.nextRow));
}

/** Whether an input has ended before a row. */
export function isInputEnded({ key }: OnlineInput, row: number): boolean {
  return key.isEnded && row >= key.nextRow;
}

/** End of the bucket of a row, milliseconds: as written, else by the file, else one interval after the row before. */
export function inputRowEndMs(input: OnlineInput, row: number): number {
  const { key, feed, clock } = input;
  if (clock.key === continuousClock(clock.intervalMs).key) return (row + 1) * clock.intervalMs;
  for (let at = row; ; at--) {
    const written = key.row(at)?.content?.bucketEndMs;
    const endMs = written ?? feed?.bucketEndMs(at) ?? Number.NaN;
    if (!Number.isNaN(endMs)) return endMs + (row - at) * clock.intervalMs;
    if (!(at > firstInputRow(input))) return Number.NaN;
  }
}
