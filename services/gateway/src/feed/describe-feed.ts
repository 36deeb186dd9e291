import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type FeedState, SlicePhase } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import {
  isTimelineSettled,
  nextSliceMs,
  type SlicePhase as Phase,
  type TimelineState,
  unknownFeeds,
  waitedFor,
} from "@qmtl/core/queues";
import { storedFeedOf } from "./stored-feeds.ts";

const phases: Readonly<Record<Phase, SlicePhase>> = {
  append: SlicePhase.APPEND,
  book: SlicePhase.BOOK,
  open: SlicePhase.OPEN,
  take: SlicePhase.TAKE,
  ended: SlicePhase.ENDED,
};

/**
 * Adds to the state of a feed what only the owner of its timeline knows; `phaseTimeMs`: since when the last slice is in
 * its phase, epoch milliseconds.
 */
export function describeFeed(state: FeedState, timeline: TimelineState, phaseTimeMs: number): void {
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
  state.slicePhase = phases[slice.phase];
  if (!Number.isFinite(slice.timeMs)) return;
  state.sliceTime = timestampFromMs(Math.trunc(slice.timeMs));
  state.slicePhaseTime = timestampFromMs(Math.trunc(phaseTimeMs));
}

/** Feeds for whose next row a timeline waits, and for nothing else: a runner that has yet to end a slice may bring it. */
export function feedsWaitedFor(timeline: TimelineState): readonly string[] {
  return waitedFor(timeline).length > 0 ? [] : unknownFeeds(timeline);
}

/** What is done with the last slice by the platform itself, for people; undefined where it waits for somebody else. */
function workOnSlice(timeline: TimelineState): string | undefined {
  const { phase } = timeline.slice;
  if (phase === "append" && unknownFeeds(timeline).length === 0) return "its rows are being stored";
  if (phase === "book") return "its bars are being booked";
  return phase === "take" ? "its targets are being taken" : undefined;
}

/** Time up to which buckets have closed in a timeline, milliseconds; −∞ without one. */
export function closedMsOf(timeline: TimelineState | undefined): number {
  if (timeline === undefined) return Number.NEGATIVE_INFINITY;
  const { phase, timeMs } = timeline.slice;
  // Until its rows are booked a slice has begun: what ends before it has closed.
  return phase === "append" || phase === "book" ? timeMs - 1 : timeMs;
}

/** A slice stands still when the platform has been at one thing with it for so long, milliseconds. */
const standsMsMin = 10_000;

/** Says since when the slice of a timeline stands still and at what; undefined while it does not. */
export function standsText(
  state: TimelineState,
  sinceMs: number | undefined,
  nowMs: number,
): string | undefined {
  const work = workOnSlice(state);
  if (work === undefined || sinceMs === undefined || nowMs - sinceMs < standsMsMin)
    return undefined;
  const slice = new Date(state.slice.timeMs).toISOString();
  return `slice ${slice} stands since ${new Date(sinceMs).toISOString()}: ${work}`;
}
