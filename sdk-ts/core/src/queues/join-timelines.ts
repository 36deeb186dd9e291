import type {
  RunnerFeed,
  Slice,
  TimelineFeed,
  TimelineRunner,
  TimelineState,
} from "./timeline-state.ts";

/** A feed as the store has it. */
export interface StoredTimelineFeed {
  readonly source: string;
  /** Last effective row; the row before the first when none is. */
  readonly logRow: number;
  /** End of that row's bucket, milliseconds; −∞ before the first. */
  readonly endMs: number;
  readonly untilMs: number | null;
  readonly isEnded: boolean;
  /** The last row is known to be booked. */
  readonly isBooked: boolean;
  readonly runners: readonly { readonly sessionId: string; readonly fromRow: number }[];
}

/** What a new owner of a timeline knows of its runners. */
export interface TakenRunners {
  /** Longest time until a runner that lost its connection tries again, milliseconds. @default 0 */
  readonly reconnectMs?: number;
  /** When those that are dropped were heard of last, by session, milliseconds. @default none is dropped */
  readonly droppedMs?: ReadonlyMap<string, number>;
}

/**
 * A timeline whose owner has just taken over. What is stored are the rows, the limits and the runner sets; no end of
 * any slice of the last batch is known (Q14). Nobody could be heard while there was no owner: a runner counts as silent
 * from the moment at which it has had time to connect again; one that was dropped before stays dropped. What is not known
 * to be booked is completed and booked first: of its rows, some may be missing in the log. Whether anything may order is
 * not known.
 */
export function takeTimeline(
  stored: readonly StoredTimelineFeed[],
  sessionDeadMs: number,
  nowMs: number,
  { reconnectMs = 0, droppedMs = new Map() }: TakenRunners = {},
): TimelineState {
  const timeMs = Math.max(Number.NEGATIVE_INFINITY, ...stored.map(({ endMs }) => endMs));
  const last = stored.filter(({ endMs }) => endMs === timeMs);
  const hasBegun = timeMs > Number.NEGATIVE_INFINITY;
  const phase = !hasBegun ? "ended" : last.some(({ isBooked }) => isBooked) ? "open" : "append";
  const takenRunner = (sessionId: string): TimelineRunner => {
    const lastHeardMs = droppedMs.get(sessionId);
    return lastHeardMs === undefined
      ? newRunner(nowMs + reconnectMs)
      : { ...newRunner(lastHeardMs), standing: "out" };
  };
  const feeds = new Map<string, TimelineFeed>();
  const runners = new Map<string, TimelineRunner>();
  for (const { source, logRow, endMs, untilMs, isEnded, runners: own } of stored) {
    feeds.set(source, { logRow, endMs, untilMs, isEnded, offers: [], isPassing: false });
    for (const { sessionId, fromRow } of own) {
      const runner = runners.get(sessionId) ?? takenRunner(sessionId);
      const ofFeeds = new Map(runner.feeds).set(source, { fromRow, endedRow: null });
      runners.set(sessionId, { ...runner, feeds: ofFeeds });
    }
  }
  const slice: Slice = { timeMs, phase, isStated: false };
  return { feeds, runners, slice, isComputeOnly: false, isPaused: false, sessionDeadMs };
}

/** A runner of which nothing is known yet but that it is there. */
export function newRunner(nowMs: number): TimelineRunner {
  return {
    feeds: new Map(),
    lastHeardMs: nowMs,
    standing: "in",
    rejoinUntilMs: Number.NEGATIVE_INFINITY,
    mustRestate: false,
  };
}

/** Whether a timeline may be joined with others or divided: nothing of its last slice is under way. */
export function isQuiet({ slice: { phase } }: TimelineState): boolean {
  return phase === "open" || phase === "ended";
}

/**
 * The timeline of these feeds, made of those that have them until now, which must be quiet. Its last slice is the latest
 * of theirs. Feeds that are behind it catch up first: their next rows are the next slices.
 */
export function joinTimelines(
  parts: readonly TimelineState[],
  sources: ReadonlySet<string>,
  sessionDeadMs: number,
): TimelineState {
  const feeds = new Map<string, TimelineFeed>();
  const runners = new Map<string, TimelineRunner>();
  let slice: Slice = { timeMs: Number.NEGATIVE_INFINITY, phase: "ended", isStated: false };
  for (const part of parts) {
    for (const [source, feed] of part.feeds) if (sources.has(source)) feeds.set(source, feed);
    for (const [sessionId, runner] of part.runners) {
      const own = [...runner.feeds].filter(([source]) => sources.has(source));
      if (own.length > 0)
        runners.set(sessionId, joinRunners(runner, new Map(own), runners.get(sessionId)));
    }
    const { timeMs, phase, isStated } = part.slice;
    slice = {
      timeMs: Math.max(slice.timeMs, timeMs),
      phase: slice.phase === "open" || phase === "open" ? "open" : "ended",
      isStated: slice.isStated || isStated,
    };
  }
  return { feeds, runners, slice, isComputeOnly: false, isPaused: false, sessionDeadMs };
}

const standings = ["in", "rejoining", "out"] as const;

function joinRunners(
  runner: TimelineRunner,
  feeds: ReadonlyMap<string, RunnerFeed>,
  other: TimelineRunner | undefined,
): TimelineRunner {
  if (other === undefined) return { ...runner, feeds };
  const worst = Math.max(standings.indexOf(runner.standing), standings.indexOf(other.standing));
  return {
    feeds: new Map([...other.feeds, ...feeds]),
    lastHeardMs: Math.max(runner.lastHeardMs, other.lastHeardMs),
    standing: standings[worst]!,
    rejoinUntilMs: Math.max(runner.rejoinUntilMs, other.rejoinUntilMs),
    mustRestate: runner.mustRestate || other.mustRestate,
  };
}
