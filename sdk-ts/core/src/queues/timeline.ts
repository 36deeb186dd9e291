import { newRunner } from "./join-timelines.ts";
import {
  forgetMs,
  isCaughtUp,
  isLastRow,
  limitMs,
  nextBatchMs,
  type OfferedRow,
  rejoinRowsMax,
  type SlicePhase,
  type TimelineEffect,
  type TimelineFeed,
  type TimelineInput,
  type TimelineRunner,
  type TimelineState,
  type TimelineStep,
  timelineRunnersMax,
  waitedFor,
} from "./timeline-state.ts";

/**
 * The replay barrier of one timeline, at its one owner. A timeline is a set of feeds, worlds and accounts that move
 * through event time together; a slice is all rows of its feeds that end at one time. The next slice passes only when
 * the one before is booked, ended by every runner that is waited for, and its targets are taken. While nothing of the
 * timeline may order, nothing depends on the slices between: up to `batchSlicesMax` slices pass, are booked and ended
 * together, as one.
 *
 * | on                       | then                                                                             |
 * | ------------------------ | -------------------------------------------------------------------------------- |
 * | offer of a feed's next rows | kept, replacing those offered before; each passes with its slice               |
 * | offer of older rows      | they pass at once: the log has them                                              |
 * | offer withdrawn          | the feed has to offer again: nothing is assumed about it                         |
 * | row effective            | counts for the slice; once all rows of the slice are, it is booked               |
 * | feed ended               | it is not waited for any longer                                                  |
 * | booked                   | the ends of the slice count from now on                                          |
 * | end of a row             | kept for that runner; a repeat or an older one changes nothing                   |
 * | taken                    | the targets of the slice are booked: it has ended, unless an end was voided meanwhile |
 * | heard                    | the runner is alive; one that was dropped begins to rejoin                       |
 * | silent for `session_dead_ms` while waited for | dropped and reported; its row stays, and its next end of the last slice takes it back |
 * | gate opened              | the named runners must end the last slice once more, under a lease, or be refused one |
 * | new owner                | knows no ends: each runner must send again, or stay silent for `session_dead_ms` after it has had time to connect again; who was dropped before stays so |
 * | until                    | no slice later than it passes; it moves forward only                             |
 * | compute only             | batches from the next slice on, or none any more; a batch under way is completed |
 *
 * Each step lets pass what may. Rules S1 to S9 and Q13 are in docs/internals/queues.md.
 */
export function timelineStep(state: TimelineState, input: TimelineInput): TimelineStep {
  switch (input.kind) {
    case "offered":
      return onOffered(state, input.source, input.offers);
    case "withdrawn":
      return go(withFeed(state, input.source, { offers: [] }));
    case "effective":
      return go(onEffective(state, input.source, input.row));
    case "begun":
      return go(withFeed(state, input.source, { logRow: input.logRow }));
    case "feed_ended":
      return go(withFeed(state, input.source, { isEnded: true, offers: [], isPassing: false }));
    case "booked":
      return go(state.slice.phase === "book" ? inPhase(state, "open") : state);
    case "taken":
      return go(state.slice.phase === "take" ? inPhase(state, "ended") : state);
    case "not_taken":
      return go(onNotTaken(state, input.sessionIds));
    case "ended":
      return onEnded(state, input);
    case "heard":
      return go(heard(state, input.sessionId, input.nowMs));
    case "joined":
      return go(onJoined(state, input));
    case "left":
      return go(onLeft(state, input.sessionId, input.source));
    case "gate_opened":
      return go(
        eachRunner(state, input.sessionIds, (one) => ({
          ...one,
          mustRestate: hasBegun(state, one),
        })),
      );
    case "not_armed":
      return go(eachRunner(state, input.sessionIds, (one) => ({ ...one, mustRestate: false })));
    case "advance": {
      const feed = state.feeds.get(input.source);
      const isForward = feed !== undefined && isLater(feed.untilMs, input.untilMs);
      return go(isForward ? withFeed(state, input.source, { untilMs: input.untilMs }) : state);
    }
    case "compute_only":
      return go({ ...state, isComputeOnly: input.isComputeOnly });
    case "paused":
      return go({ ...state, isPaused: input.isPaused });
    case "tick":
      return onTick(state, input.nowMs);
  }
}

function onOffered(
  state: TimelineState,
  source: string,
  offered: readonly OfferedRow[],
): TimelineStep {
  const feed = state.feeds.get(source);
  if (feed === undefined) return { state, effects: [] };
  const old = offered.filter(({ row }) => row <= feed.logRow);
  const offers = offered.slice(old.length);
  const effects: TimelineEffect[] =
    old.length === 0 ? [] : [{ kind: "pass", source, row: rowsOf(old) }];
  const [first] = offers;
  if (first === undefined) return { state, effects };
  if (first.row !== feed.logRow + 1) return go(state);
  const isPassing = feed.isPassing && first.timeMs <= state.slice.timeMs;
  const step = go(withFeed(state, source, { offers, isPassing }));
  return { state: step.state, effects: [...effects, ...step.effects] };
}

function onEffective(state: TimelineState, source: string, row: OfferedRow): TimelineState {
  const feed = state.feeds.get(source);
  if (feed === undefined || row.toRow <= feed.logRow) return state;
  const endMs = Math.max(feed.endMs, row.timeMs);
  const offers = feed.offers.filter((offer) => offer.row > row.toRow);
  return withFeed(state, source, { logRow: row.toRow, endMs, offers, isPassing: false });
}

function onEnded(
  state: TimelineState,
  input: Extract<TimelineInput, { kind: "ended" }>,
): TimelineStep {
  const { sessionId, source, row, isArmed, nowMs } = input;
  const alive = heard(state, sessionId, nowMs);
  const runner = alive.runners.get(sessionId);
  const isLast = isLastRow(state, source, row);
  // What a runner that was dropped states of the slice it missed is not taken.
  const isStated = isLast && runner?.standing !== "rejoining";
  const slice = isStated ? { ...alive.slice, isStated } : alive.slice;
  if (runner === undefined) return go({ ...alive, slice });
  const feeds = new Map(runner.feeds);
  const own = feeds.get(source);
  if (own !== undefined)
    feeds.set(source, { ...own, endedRow: Math.max(own.endedRow ?? row, row) });
  // Whoever has computed the last row of a feed has computed everything that ended before it.
  const endMs = isLast ? (state.feeds.get(source)?.endMs ?? Number.NaN) : Number.NaN;
  for (const [name, other] of feeds) {
    const feed = state.feeds.get(name);
    if (feed !== undefined && feed.endMs < endMs)
      feeds.set(name, { ...other, endedRow: feed.logRow });
  }
  const mustRestate = runner.mustRestate && !(isArmed && isLast);
  const next = { ...runner, feeds, mustRestate };
  const ended = { ...withRunner(alive, sessionId, next), slice };
  if (next.standing !== "rejoining" || !isCaughtUp(ended, next)) return go(ended);
  const step = go(withRunner(ended, sessionId, { ...next, standing: "in" }));
  return { state: step.state, effects: [{ kind: "taken_back", sessionId }, ...step.effects] };
}

function onNotTaken(state: TimelineState, sessionIds: readonly string[]): TimelineState {
  const opened = state.slice.phase === "take" ? inPhase(state, "open") : state;
  return eachRunner(opened, sessionIds, (runner) => ({
    ...runner,
    feeds: new Map(
      [...runner.feeds].map(([source, own]) => {
        const isLast = state.feeds.get(source)?.endMs === state.slice.timeMs;
        return [source, isLast ? { ...own, endedRow: null } : own];
      }),
    ),
  }));
}

function onJoined(
  state: TimelineState,
  { sessionId, source, fromRow, nowMs }: Extract<TimelineInput, { kind: "joined" }>,
): TimelineState {
  const known = state.runners.get(sessionId);
  if (known === undefined && state.runners.size >= timelineRunnersMax)
    throw new RangeError(`more than ${timelineRunnersMax} runners in one timeline`);
  const runner = known ?? newRunner(nowMs);
  const endedRow = runner.feeds.get(source)?.endedRow ?? null;
  const feeds = new Map(runner.feeds).set(source, { fromRow, endedRow });
  return withRunner(state, sessionId, { ...runner, feeds });
}

function onLeft(state: TimelineState, sessionId: string, source: string): TimelineState {
  const runner = state.runners.get(sessionId);
  if (runner === undefined) return state;
  const feeds = new Map(runner.feeds);
  feeds.delete(source);
  if (feeds.size > 0) return withRunner(state, sessionId, { ...runner, feeds });
  const runners = new Map(state.runners);
  runners.delete(sessionId);
  return { ...state, runners };
}

function onTick(state: TimelineState, nowMs: number): TimelineStep {
  const effects: TimelineEffect[] = [];
  const runners = new Map(state.runners);
  const waited = new Set(waitedFor(state));
  for (const [sessionId, runner] of state.runners) {
    const silentMs = nowMs - runner.lastHeardMs;
    if (waited.has(sessionId) && silentMs >= state.sessionDeadMs) {
      runners.set(sessionId, { ...runner, standing: "out", mustRestate: false });
      effects.push({ kind: "dropped", sessionId });
    } else if (runner.standing === "rejoining" && silentMs >= state.sessionDeadMs) {
      runners.set(sessionId, { ...runner, standing: "out" });
    } else if (runner.standing === "out" && silentMs >= forgetMs) {
      runners.delete(sessionId);
      effects.push({ kind: "forgotten", sessionId });
    } else if (runner.rejoinUntilMs <= nowMs) {
      runners.set(sessionId, { ...runner, rejoinUntilMs: Number.NEGATIVE_INFINITY });
    }
  }
  const step = go({ ...state, runners });
  return { state: step.state, effects: [...effects, ...step.effects] };
}

/** Lets everything happen that may. */
function go(state: TimelineState): TimelineStep {
  let now = state;
  const effects: TimelineEffect[] = [];
  for (;;) {
    const { slice } = now;
    if (slice.phase === "append") {
      now = passRows(now, effects);
      if (!isAppended(now)) break;
      now = inPhase(now, "book");
      effects.push({ kind: "book", timeMs: slice.timeMs });
      break;
    }
    if (slice.phase === "book" || slice.phase === "take") break;
    const isAllDone = waitedFor(now).length === 0;
    if (isAllDone && (slice.phase === "open" || slice.isStated)) {
      now = { ...now, slice: { ...slice, phase: "take", isStated: false } };
      effects.push({ kind: "take", timeMs: slice.timeMs });
      break;
    }
    if (slice.phase === "open" || !isAllDone || now.isPaused || isRejoinWaited(now)) break;
    const timeMs = nextBatchMs(now) ?? Number.POSITIVE_INFINITY;
    if (timeMs === Number.POSITIVE_INFINITY || timeMs > limitMs(now)) break;
    now = { ...now, slice: { timeMs, phase: "append", isStated: false } };
  }
  return { state: now, effects };
}

/** Passes the offered rows of what is being appended; an offer passes once. */
function passRows(state: TimelineState, effects: TimelineEffect[]): TimelineState {
  const { timeMs } = state.slice;
  let now = state;
  for (const [source, { offers }] of state.feeds) {
    const later = offers.findIndex((offer) => offer.timeMs > timeMs);
    const count = later < 0 ? offers.length : later;
    if (count === 0) continue;
    effects.push({ kind: "pass", source, row: rowsOf(offers.slice(0, count)) });
    now = withFeed(now, source, { offers: offers.slice(count), isPassing: true });
  }
  return now;
}

/** Rows that follow one another, as one: from the first to the last, which ends last. */
function rowsOf(rows: readonly OfferedRow[]): OfferedRow {
  const last = rows.at(-1)!;
  return { row: rows[0]!.row, toRow: last.toRow, timeMs: last.timeMs };
}

/** Whether every feed stands at the slice, or is known to stand beyond it. */
function isAppended(state: TimelineState): boolean {
  const { timeMs } = state.slice;
  for (const feed of state.feeds.values()) {
    if (feed.isPassing) return false;
    if (feed.isEnded || feed.endMs >= timeMs) continue;
    const [first] = feed.offers;
    if (first === undefined || first.timeMs <= timeMs) return false;
  }
  return true;
}

function isRejoinWaited(state: TimelineState): boolean {
  for (const runner of state.runners.values()) {
    if (runner.standing !== "rejoining" || runner.rejoinUntilMs === Number.NEGATIVE_INFINITY)
      continue;
    if (rowsBehind(state, runner) <= rejoinRowsMax) return true;
  }
  return false;
}

function rowsBehind(state: TimelineState, { feeds }: TimelineRunner): number {
  let most = 0;
  for (const [source, { fromRow, endedRow }] of feeds) {
    const logRow = state.feeds.get(source)?.logRow ?? -1;
    most = Math.max(most, logRow - Math.max(endedRow ?? -1, fromRow - 1));
  }
  return most;
}

/** Whether a row of a runner's feeds has passed, or is about to be appended, that it is counted from. */
function hasBegun(state: TimelineState, { feeds }: TimelineRunner): boolean {
  for (const [source, { fromRow }] of feeds) {
    const feed = state.feeds.get(source);
    if (feed !== undefined && (feed.isPassing || feed.logRow >= fromRow)) return true;
  }
  return false;
}

function heard(state: TimelineState, sessionId: string, nowMs: number): TimelineState {
  const runner = state.runners.get(sessionId);
  if (runner === undefined) return state;
  const lastHeardMs = Math.max(runner.lastHeardMs, nowMs);
  const isBack = runner.standing === "out";
  const rejoined = { standing: "rejoining", rejoinUntilMs: nowMs + state.sessionDeadMs } as const;
  return withRunner(state, sessionId, { ...runner, lastHeardMs, ...(isBack ? rejoined : {}) });
}

function eachRunner(
  state: TimelineState,
  sessionIds: readonly string[],
  change: (runner: TimelineRunner) => TimelineRunner,
): TimelineState {
  const runners = new Map(state.runners);
  for (const sessionId of sessionIds) {
    const runner = runners.get(sessionId);
    if (runner !== undefined) runners.set(sessionId, change(runner));
  }
  return { ...state, runners };
}

function withRunner(
  state: TimelineState,
  sessionId: string,
  runner: TimelineRunner,
): TimelineState {
  return { ...state, runners: new Map(state.runners).set(sessionId, runner) };
}

function withFeed(
  state: TimelineState,
  source: string,
  change: Partial<TimelineFeed>,
): TimelineState {
  const feed = state.feeds.get(source);
  if (feed === undefined) return state;
  return { ...state, feeds: new Map(state.feeds).set(source, { ...feed, ...change }) };
}

function inPhase(state: TimelineState, phase: SlicePhase): TimelineState {
  return { ...state, slice: { ...state.slice, phase } };
}

function isLater(from: number | null, to: number | null): boolean {
  return to === null ? from !== null : from !== null && to > from;
}
