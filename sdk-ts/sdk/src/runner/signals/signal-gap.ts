import { bucketOpen } from "@qmtl/core/intervals";

/** Buckets at which a target has no signal, and a stretch of them in a row. */
export interface SignalGap {
  /** Name of the target node. */
  readonly target: string;
  /** Number of these buckets since the first signal; before it, since the run began. */
  readonly missed: number;
  /** Number of those in a row: the longest stretch of a run that has ended, of one under way the last. */
  readonly stretch: number;
  /** Number of all buckets of the target. */
  readonly buckets: number;
  /** End of the last bucket with a signal before the stretch; NaN if the run has seen none. */
  readonly sinceMs: number;
  /** End of the next bucket with a signal after it; NaN while there is none. */
  readonly untilMs: number;
  /** Length of the target's buckets, milliseconds. */
  readonly intervalMs: number;
  /** The nearest source without a value; undefined if all had one. */
  readonly source: string | undefined;
  /** The target was set to 0 for want of a signal. */
  readonly isFlat: boolean;
}

const dayMs = 86_400_000;

/**
 * Says how long a target has had no signal, and because of whom: `signal of target(xs,GE): no value for 2,012 of 4,529
 * buckets, since 2014-12-31, because source x_ge has none`; of several stretches the number in the one that is told, too:
 * `no value for 11 of 252 buckets, 6 of them in a row since 2014-12-31 until 2015-01-09`.
 */
export function gapText(gap: SignalGap): string {
  const { target, missed, stretch, buckets, sinceMs, untilMs, intervalMs, source, isFlat } = gap;
  const label = (endMs: number): string => timeText(bucketOpen(endMs, intervalMs), intervalMs);
  const since = Number.isNaN(sinceMs) ? "since the run began" : `since ${label(sinceMs)}`;
  const time = Number.isNaN(untilMs) ? since : `${since} until ${label(untilMs)}`;
  const why =
    source === undefined
      ? "although every source has one: a node between gives none"
      : `because source ${source} has none`;
  const count = `${grouped(missed)} of ${grouped(buckets)} buckets`;
  const row = missed === stretch ? "" : `${grouped(stretch)} of them in a row `;
  const then = isFlat ? "; the target was set to 0" : "";
  return `signal of ${target}: no value for ${count}, ${row}${time}, ${why}${then}`;
}

/** Open time of a bar, as long as its interval needs. */
function timeText(openMs: number, intervalMs: number): string {
  const text = new Date(openMs).toISOString();
  return intervalMs >= dayMs ? text.slice(0, 10) : text.replace(/(:00)?\.000Z$/, "Z");
}

/** A count with commas between thousands. */
function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}
