/**
 * The replay barrier of one feed, at its one owner: row t + 1 passes only when every live runner has
 * ended row t. It counts rows of the log, not holders, so a feed takeover changes nothing.
 *
 * | on                     | then                                                                              |
 * | ---------------------- | --------------------------------------------------------------------------------- |
 * | publish of row t + 1   | held, replacing one held before; passes when the rule below is met                |
 * | publish of an older row | passes at once: the log has it                                                   |
 * | publish of a later row | refused with the number of the next row                                           |
 * | end of row t           | booked for that runner; a repeat or an older one changes nothing                  |
 * | heartbeat              | the runner is waited for                                                          |
 * | silent for `session_dead_ms` | dropped and reported; it rejoins like a new one                              |
 * | new owner              | knows no ends: each runner must send again or stay silent for `session_dead_ms`   |
 * | restate                | the named runners must end the last row once more: what they said before is void |
 * | until                  | no row later than it passes; it moves forward only                                |
 *
 * Rule: each runner of the set ended t, or t lies before its first row; and the row's time ≤ until
 * (Q13 in docs/internals/queues.md).
 */
export interface BarrierState {
  /** Last effective source row; the row before the first when none is. */
  readonly logRow: number;
  /** Rows later than this do not pass; null = no limit. */
  readonly untilMs: number | null;
  readonly held: HeldRow | null;
  readonly runners: ReadonlyMap<string, BarrierRunner>;
  readonly sessionDeadMs: number;
}

/** A row (or an EMPTY range) that waits at the barrier. */
export interface HeldRow {
  readonly row: number;
  readonly toRow: number;
  readonly timeMs: number;
}

/** One runner session of a replay world on the feed. */
export interface BarrierRunner {
  /** Counted from this row on. */
  readonly fromRow: number;
  /** Last row it ended, or null when this owner does not know. Null is never taken for "ended". */
  readonly endedRow: number | null;
  readonly lastHeardMs: number;
}

export type BarrierInput =
  | { readonly kind: "publish"; readonly row: HeldRow }
  | { readonly kind: "row_effective"; readonly row: number }
  | {
      readonly kind: "runner_joined";
      readonly sessionId: string;
      readonly fromRow: number;
      readonly nowMs: number;
    }
  | { readonly kind: "runner_left"; readonly sessionId: string }
  | {
      readonly kind: "ended";
      readonly sessionId: string;
      readonly row: number;
      readonly nowMs: number;
    }
  | { readonly kind: "restate"; readonly sessionIds: readonly string[] }
  | { readonly kind: "heartbeat"; readonly sessionId: string; readonly nowMs: number }
  | { readonly kind: "advance"; readonly untilMs: number | null }
  | { readonly kind: "tick"; readonly nowMs: number };

export type BarrierEffect =
  | { readonly kind: "pass"; readonly row: HeldRow }
  /** Not the next row: the holder sends it again when it is. */
  | { readonly kind: "refuse"; readonly row: HeldRow; readonly nextRow: number }
  | { readonly kind: "dropped"; readonly sessionId: string };

export interface BarrierStep {
  readonly state: BarrierState;
  readonly effects: readonly BarrierEffect[];
}

/** Largest number of runners of one feed; more are refused at registration. */
export const barrierRunnersMax = 1_024;

/**
 * A barrier owner that has just taken over: log row, until and runner set are read from the store, no
 * end is known, and every runner counts as heard of now (Q14).
 */
export function takeBarrier(
  stored: {
    readonly logRow: number;
    readonly untilMs: number | null;
    readonly runners: readonly { readonly sessionId: string; readonly fromRow: number }[];
  },
  sessionDeadMs: number,
  nowMs: number,
): BarrierState {
  const runners = stored.runners.map(
    ({ sessionId, fromRow }) =>
      [sessionId, { fromRow, endedRow: null, lastHeardMs: nowMs }] as const,
  );
  const { logRow, untilMs } = stored;
  return { logRow, untilMs, held: null, runners: new Map(runners), sessionDeadMs };
}

/** One step of the barrier; every step tries to let the held row pass. */
export function barrierStep(state: BarrierState, input: BarrierInput): BarrierStep {
  switch (input.kind) {
    case "publish":
      return onPublish(state, input.row);
    case "row_effective":
      return release({ ...state, logRow: Math.max(state.logRow, input.row) });
    case "runner_joined": {
      const isFull = state.runners.size >= barrierRunnersMax && !state.runners.has(input.sessionId);
      if (isFull) throw new RangeError(`more than ${barrierRunnersMax} runners on one feed`);
      const runner = { fromRow: input.fromRow, endedRow: null, lastHeardMs: input.nowMs };
      return release({ ...state, runners: new Map(state.runners).set(input.sessionId, runner) });
    }
    case "runner_left":
      return release(without(state, [input.sessionId]));
    case "ended":
      return release(heard(state, input.sessionId, input.nowMs, input.row));
    case "restate":
      return { state: withoutEnds(state, input.sessionIds), effects: [] };
    case "heartbeat":
      return release(heard(state, input.sessionId, input.nowMs, null));
    case "advance":
      return release(
        isForward(state.untilMs, input.untilMs) ? { ...state, untilMs: input.untilMs } : state,
      );
    case "tick":
      return dropSilent(state, input.nowMs);
  }
}

/** Whether every counted runner has ended `row`: an apply, evaluation or halt at it may be issued. */
export function isSettledAt(state: BarrierState, row: number): boolean {
  for (const runner of state.runners.values()) {
    if (row >= runner.fromRow && (runner.endedRow === null || runner.endedRow < row)) return false;
  }
  return true;
}

function onPublish(state: BarrierState, row: HeldRow): BarrierStep {
  if (row.row <= state.logRow) return { state, effects: [{ kind: "pass", row }] };
  const nextRow = state.logRow + 1;
  if (row.row > nextRow) return { state, effects: [{ kind: "refuse", row, nextRow }] };
  return release({ ...state, held: row });
}

function release(state: BarrierState): BarrierStep {
  const { held } = state;
  if (held === null) return { state, effects: [] };
  if (held.row <= state.logRow)
    return { state: { ...state, held: null }, effects: [{ kind: "pass", row: held }] };
  const isDue = state.untilMs === null || held.timeMs <= state.untilMs;
  if (!isDue || !isSettledAt(state, state.logRow)) return { state, effects: [] };
  return { state: { ...state, held: null }, effects: [{ kind: "pass", row: held }] };
}

function dropSilent(state: BarrierState, nowMs: number): BarrierStep {
  const silent = [...state.runners]
    .filter(([, runner]) => nowMs - runner.lastHeardMs >= state.sessionDeadMs)
    .map(([sessionId]) => sessionId);
  const step = release(without(state, silent));
  const dropped = silent.map((sessionId): BarrierEffect => ({ kind: "dropped", sessionId }));
  return { state: step.state, effects: [...dropped, ...step.effects] };
}

function heard(
  state: BarrierState,
  sessionId: string,
  nowMs: number,
  row: number | null,
): BarrierState {
  const runner = state.runners.get(sessionId);
  if (runner === undefined) return state;
  const endedRow = row === null ? runner.endedRow : Math.max(runner.endedRow ?? row, row);
  const lastHeardMs = Math.max(runner.lastHeardMs, nowMs);
  return {
    ...state,
    runners: new Map(state.runners).set(sessionId, { ...runner, endedRow, lastHeardMs }),
  };
}

function withoutEnds(state: BarrierState, sessionIds: readonly string[]): BarrierState {
  const runners = new Map(state.runners);
  for (const sessionId of sessionIds) {
    const runner = runners.get(sessionId);
    if (runner !== undefined) runners.set(sessionId, { ...runner, endedRow: null });
  }
  return { ...state, runners };
}

function without(state: BarrierState, sessionIds: readonly string[]): BarrierState {
  if (sessionIds.length === 0) return state;
  const runners = new Map(state.runners);
  for (const sessionId of sessionIds) runners.delete(sessionId);
  return { ...state, runners };
}

function isForward(from: number | null, to: number | null): boolean {
  return to === null ? from !== null : from !== null && to > from;
}
