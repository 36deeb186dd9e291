import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { FeedState } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import {
  isTimelineSettled,
  nextSliceMs,
  type TimelineState,
  unknownFeeds,
  waitedFor,
} from "@qmtl/core/queues";
import { storedFeedOf } from "./stored-feeds.ts";

/** Adds to the state of a feed what only the owner of its timeline knows. */
export function describeFeed(state: FeedState, timeline: TimelineState): void {
  const { source } = state;
  const { runners, slice, feeds } = timeline;
  const feed = feeds.get(source);
  if (feed === undefined) return;
  state.runners = state.runners.filter(
    ({ sessionId }) => runners.get(sessionId)?.standing !== "out",
  );
  for (const runner of state.runners) {
    const ended = runners.get(runner.sessionId)?.feeds.get(source)?.endedRow;
    runner.endedRow = BigInt(ended ?? -1);
  }
  const { passedRow, untilMs } = storedFeedOf(state);
  const isCurrent = feed.logRow >= passedRow && feed.untilMs === untilMs;
  state.settled = isCurrent && isTimelineSettled(timeline);
  state.timelineSources = [...feeds.keys()].sort();
  state.waitsForSources = unknownFeeds(timeline).sort();
  state.waitsForSessionIds = waitedFor(timeline).sort();
  const nextMs = nextSliceMs(timeline) ?? Number.POSITIVE_INFINITY;
  if (Number.isFinite(nextMs)) state.nextSliceTime = timestampFromMs(Math.trunc(nextMs));
  if (Number.isFinite(slice.timeMs)) state.sliceTime = timestampFromMs(Math.trunc(slice.timeMs));
}

/** Feeds for whose next row a timeline waits, and for nothing else: a runner that has yet to end a slice may bring it. */
export function feedsWaitedFor(timeline: TimelineState): readonly string[] {
  return waitedFor(timeline).length > 0 ? [] : unknownFeeds(timeline);
}

/** Time up to which buckets have closed in a timeline, milliseconds; −∞ without one. */
export function closedMsOf(timeline: TimelineState | undefined): number {
  if (timeline === undefined) return Number.NEGATIVE_INFINITY;
  const { phase, timeMs } = timeline.slice;
  // Until its rows are booked a slice has begun: what ends before it has closed.
  return phase === "append" || phase === "book" ? timeMs - 1 : timeMs;
}
