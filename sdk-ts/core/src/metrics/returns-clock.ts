import { restMs } from "../canonical/bar-interval.ts";

/** How often something comes: the bars of a feed, or the returns of a run. */
export interface ReturnsClock {
  /** Length of a bar or of a returns interval, seconds. */
  readonly intervalSeconds: number;
  /** How many of them a year has, as set for the source of the bars (252 for daily sessions). */
  readonly periodsPerYear: number;
}

/**
 * Clock by which ratios sample a run: its interval is the longest of the feeds it trades. A year has as many of these
 * intervals with a bar as the feed that has the most of them, so hours round the clock beside the days of an exchange
 * make 365 days a year, not 252. The order of the feeds changes nothing.
 *
 * @param feeds clock of every traded feed
 * @throws {RangeError} without a feed.
 */
export function returnsClock(feeds: readonly ReturnsClock[]): ReturnsClock {
  if (feeds.length === 0) throw new RangeError("a run without a traded feed has no returns");
  const intervalSeconds = Math.max(...feeds.map((feed) => feed.intervalSeconds));
  const wholeSeconds = intervalSeconds + restMs(intervalSeconds * 1_000) / 1_000;
  const yearly = feeds.map((feed) =>
    feed.intervalSeconds === intervalSeconds
      ? feed.periodsPerYear
      : (feed.periodsPerYear * feed.intervalSeconds) / wholeSeconds,
  );
  return { intervalSeconds, periodsPerYear: Math.max(...yearly) };
}
