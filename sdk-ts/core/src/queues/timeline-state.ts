/** State, inputs and effects of the replay barrier of one timeline, and what can be read from its state. */
export interface TimelineState {
  readonly feeds: ReadonlyMap<string, TimelineFeed>;
  readonly runners: ReadonlyMap<string, TimelineRunner>;
  readonly slice: Slice;
  /** Nothing in it may order, so that slices pass in batches. False while that is not known. */
  readonly isComputeOnly: boolean;
  /** No further slice begins: the timeline is about to be joined with another. */
  readonly isPaused: boolean;
  readonly sessionDeadMs: number;
}

/** One replay feed of a timeline. */
export interface TimelineFeed {
  /** Last effective row; the row before the first when none is. */
  readonly logRow: number;
  /** End of that row's bucket, milliseconds; −∞ before the first. */
  readonly endMs: number;
  /** Slices later than this do not pass, milliseconds; null for no limit. */
  readonly untilMs: number | null;
  /** The next rows as its holder offers them, in order and without a gap; empty: not known. */
  readonly offers: readonly OfferedRow[];
  /** Offered rows were let pass and are not known to be effective. */
  readonly isPassing: boolean;
  /** No further row follows. */
  readonly isEnded: boolean;
}

/** A row (or an EMPTY range) as a feed's holder offers it. */
export interface OfferedRow {
  readonly row: number;
  readonly toRow: number;
  /** End of its bucket, milliseconds. */
  readonly timeMs: number;
}

/**
 * Where the last slice stands: its rows are being appended; it is being booked; it is open for ends; its targets are
 * being taken; it has ended.
 */
export type SlicePhase = "append" | "book" | "open" | "take" | "ended";

/** The last slice, or the slices of a batch: those after the slice before, up to this time. */
export interface Slice {
  /** End of its last rows, milliseconds; −∞ before the first slice. */
  readonly timeMs: number;
  readonly phase: SlicePhase;
  /** Something was stated for it since its targets were taken last. */
  readonly isStated: boolean;
}

/** One runner session. */
export interface TimelineRunner {
  /** The feeds that it runs on. */
  readonly feeds: ReadonlyMap<string, RunnerFeed>;
  readonly lastHeardMs: number;
  /** `out`: dropped because it was silent. `rejoining`: heard again, and on its way to the last slice. */
  readonly standing: "in" | "out" | "rejoining";
  /** Until when the next slice waits for one that is rejoining, milliseconds. */
  readonly rejoinUntilMs: number;
  /** The gate of its world opened: its ends count once it was given, or refused, a lease. */
  readonly mustRestate: boolean;
}

export interface RunnerFeed {
  /** Counted from this row on. */
  readonly fromRow: number;
  /** Last row it ended, or null when this owner does not know. Null is never taken for "ended". */
  readonly endedRow: number | null;
}

export type TimelineInput =
  /** The rows that a feed's holder offers next, in order and without a gap; at least one. */
  | { readonly kind: "offered"; readonly source: string; readonly offers: readonly OfferedRow[] }
  | { readonly kind: "withdrawn"; readonly source: string }
  | { readonly kind: "effective"; readonly source: string; readonly row: OfferedRow }
  /** The first START of a feed states the row before its first one. */
  | { readonly kind: "begun"; readonly source: string; readonly logRow: number }
  | { readonly kind: "feed_ended"; readonly source: string }
  | { readonly kind: "booked" }
  | { readonly kind: "taken" }
  /** The targets of the slice could not be taken: the named runners were not answered, and send again. */
  | { readonly kind: "not_taken"; readonly sessionIds: readonly string[] }
  | {
      readonly kind: "ended";
      readonly sessionId: string;
      readonly source: string;
      readonly row: number;
      readonly isArmed: boolean;
      readonly nowMs: number;
    }
  | { readonly kind: "heard"; readonly sessionId: string; readonly nowMs: number }
  | {
      readonly kind: "joined";
      readonly sessionId: string;
      readonly source: string;
      readonly fromRow: number;
      readonly nowMs: number;
    }
  | { readonly kind: "left"; readonly sessionId: string; readonly source: string }
  | { readonly kind: "gate_opened"; readonly sessionIds: readonly string[] }
  /** The named runners need not state anything again: they were refused a lease, or the gate has shut. */
  | { readonly kind: "not_armed"; readonly sessionIds: readonly string[] }
  | { readonly kind: "advance"; readonly source: string; readonly untilMs: number | null }
  /** Whether anything of the timeline may order. What is let pass already is completed. */
  | { readonly kind: "compute_only"; readonly isComputeOnly: boolean }
  | { readonly kind: "paused"; readonly isPaused: boolean }
  | { readonly kind: "tick"; readonly nowMs: number };

export type TimelineEffect =
  /** The rows may be appended now, together: from `row` to `toRow`, which ends at `timeMs`. */
  | { readonly kind: "pass"; readonly source: string; readonly row: OfferedRow }
  /** All rows of the slice, or of the slices of a batch, are effective. */
  | { readonly kind: "book"; readonly timeMs: number }
  /** Every runner that is waited for has ended the slice. */
  | { readonly kind: "take"; readonly timeMs: number }
  | { readonly kind: "dropped"; readonly sessionId: string }
  | { readonly kind: "taken_back"; readonly sessionId: string }
  /** Out for so long that its row may be deleted. */
  | { readonly kind: "forgotten"; readonly sessionId: string };

export interface TimelineStep {
  readonly state: TimelineState;
  readonly effects: readonly TimelineEffect[];
}

/** Largest number of slices that pass together while nothing may order. */
export const batchSlicesMax = 64;
/** Largest number of runners of one timeline; more are refused at registration. */
export const timelineRunnersMax = 1_024;
/** Rows by which a rejoining runner may be behind for the next slice to wait for it. */
export const rejoinRowsMax = 64;
/** A dropped runner that is not heard of for this long is forgotten, milliseconds. */
export const forgetMs = 600_000;

/** The last slice that may pass, milliseconds; +∞ for no limit. A feed that has ended limits nobody. */
export function limitMs(state: TimelineState): number {
  let limit = Number.POSITIVE_INFINITY;
  for (const { untilMs, isEnded } of state.feeds.values()) {
    if (!isEnded && untilMs !== null && untilMs < limit) limit = untilMs;
  }
  return limit;
}

/** Feeds whose next row has to be known before anything passes, and is not. Rows that are being appended are known. */
export function unknownFeeds(state: TimelineState): string[] {
  const { slice } = state;
  const isAppending = slice.phase === "append";
  return [...state.feeds]
    .filter(
      ([, feed]) =>
        !isKnown(feed) && !(isAppending && (feed.isPassing || feed.endMs >= slice.timeMs)),
    )
    .map(([source]) => source);
}

/** End of the next slice, milliseconds; undefined while it is not known, +∞ when no row follows. */
export function nextSliceMs(state: TimelineState): number | undefined {
  let next = Number.POSITIVE_INFINITY;
  for (const feed of state.feeds.values()) {
    if (!isKnown(feed)) return undefined;
    const [first] = feed.offers;
    if (first !== undefined && first.timeMs < next) next = first.timeMs;
  }
  return next;
}

/**
 * End of the last slice that passes next, milliseconds: while nothing may order, that of a batch, as far as the limit
 * allows and every feed's rows are known; else the next slice. Undefined and +∞ as for `nextSliceMs`.
 */
export function nextBatchMs(state: TimelineState): number | undefined {
  const next = nextSliceMs(state);
  if (next === undefined || !state.isComputeOnly) return next;
  let lastMs = limitMs(state);
  const times = new Set<number>();
  for (const { isEnded, offers } of state.feeds.values()) {
    if (isEnded) continue;
    for (const { timeMs } of offers) times.add(timeMs);
    // Of the row after its last offered one nothing is known but that it ends later.
    lastMs = Math.min(lastMs, offers.at(-1)?.timeMs ?? lastMs);
  }
  const batch = [...times].filter((timeMs) => timeMs <= lastMs).sort((a, b) => a - b);
  return batch.slice(0, batchSlicesMax).at(-1) ?? next;
}

/** Whether the next slice is known, and passes as soon as the last one has ended. */
export function goesOn(state: TimelineState): boolean {
  const next = nextSliceMs(state) ?? Number.POSITIVE_INFINITY;
  return !state.isPaused && next < Number.POSITIVE_INFINITY && next <= limitMs(state);
}

/** Runners that the last slice waits for. */
export function waitedFor(state: TimelineState): string[] {
  const { phase } = state.slice;
  if (phase === "append" || phase === "book") return [];
  return [...state.runners]
    .filter(([, runner]) => runner.standing === "in" && !isDone(state, runner))
    .map(([sessionId]) => sessionId);
}

/**
 * Whether nothing will happen by itself: the last slice has ended, and no slice follows, or the next one is later than
 * the limit.
 */
export function isTimelineSettled(state: TimelineState): boolean {
  if (state.slice.phase !== "ended" || waitedFor(state).length > 0) return false;
  const limit = limitMs(state);
  for (const { isEnded, endMs, offers } of state.feeds.values()) {
    if (isEnded || endMs >= limit) continue;
    const [first] = offers;
    if (first === undefined || first.timeMs <= limit) return false;
  }
  return true;
}

/** Whether an end of this row still counts: the row is the last of its feed. */
export function isLastRow(state: TimelineState, source: string, row: number): boolean {
  const feed = state.feeds.get(source);
  return feed !== undefined && row >= feed.logRow;
}

/** Whether a runner has ended the last row of each of its feeds, and owes nothing. */
function isDone(state: TimelineState, runner: TimelineRunner): boolean {
  return !runner.mustRestate && isCaughtUp(state, runner);
}

/** Whether a runner has ended the last row of each of its feeds. */
export function isCaughtUp(state: TimelineState, { feeds }: TimelineRunner): boolean {
  for (const [source, { fromRow, endedRow }] of feeds) {
    const logRow = state.feeds.get(source)?.logRow;
    if (logRow === undefined || logRow < fromRow) continue;
    if (endedRow === null || endedRow < logRow) return false;
  }
  return true;
}

function isKnown({ isEnded, offers }: TimelineFeed): boolean {
  return isEnded || offers.length > 0;
}
