import {
  limitMs,
  type OfferedRow,
  type TimelineState,
  unknownFeeds,
  waitedFor,
} from "@qmtl/core/queues";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { EndedRow } from "../ports.ts";

/** Largest number of runners named as those that a row waits for. */
const namedMax = 3;

/** What a row that is offered is waiting for. */
export function whyRowHeld(
  state: TimelineState | undefined,
  source: string,
  { row, timeMs }: OfferedRow,
): string {
  const logRow = state?.feeds.get(source)?.logRow ?? -1;
  if (state === undefined) return "its barrier is not set up";
  const limit = limitMs(state);
  if (timeMs > limit)
    return `the limit of the feed is ${new Date(limit).toISOString()}; AdvanceFeed moves it`;
  const open = waitedFor(state);
  if (open.length > 0) return notFinished(state, logRow, open);
  const missing = unknownFeeds(state).filter((each) => each !== source);
  if (missing.length > 0) return waitsForFeeds(missing);
  return row > logRow + 1 ? `row ${logRow + 1} comes first` : `row ${logRow} is not settled yet`;
}

/** What a call that ended these rows is waiting for. */
export function whyCallHeld(
  stateOf: (source: string) => TimelineState | undefined,
  ends: readonly EndedRow[],
): string {
  for (const { source, row } of ends) {
    const state = stateOf(source);
    if (state === undefined) continue;
    const open = waitedFor(state);
    if (open.length > 0) return notFinished(state, row, open);
    const { phase } = state.slice;
    const missing = phase === "append" ? unknownFeeds(state) : [];
    if (missing.length > 0) return waitsForFeeds(missing);
    if (phase === "append" || phase === "book") return `row ${row} of ${source} is not booked yet`;
  }
  return "its targets are not taken yet";
}

export function rowHeld(why: string): QmtlError {
  return new QmtlError("BARRIER_HELD", `the row is held: ${why}`, { retryAfterMs: 1 });
}

function notFinished(state: TimelineState, row: number, open: readonly string[]): string {
  const more = open.length > namedMax ? ` and ${open.length - namedMax} more` : "";
  const { timeMs } = state.slice;
  const isOne = state.feeds.size === 1 || !Number.isFinite(timeMs);
  const what = isOne ? `row ${row}` : `the slice of ${new Date(timeMs).toISOString()}`;
  return `${what} is not finished by ${open.slice(0, namedMax).join(", ")}${more}`;
}

function waitsForFeeds(sources: readonly string[]): string {
  const names = sources.toSorted().join(", ");
  return `SLICE_WAITS_FOR_FEED ${names}: it moves with this feed and its next row is not known; run a strategy that reads it`;
}
