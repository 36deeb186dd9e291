/**
 * Promotion of a strategy into a new compute context: new keys are opened beside the old ones, warmed up, and swapped
 * in at a row boundary.
 *
 * | state     | on                                                        | do                                        | next      |
 * | --------- | --------------------------------------------------------- | ----------------------------------------- | --------- |
 * | OPENING   | every key warm and within 2 rows of the sources           | PREPARE(from_row), at least 2 rows ahead  | PREPARE   |
 * | PREPARE   | a runner has ended from_row or more                       | PREPARE again with a later from_row       | PREPARE   |
 * | PREPARE   | every live runner has ended less than from_row            | COMMIT in one transaction                 | COMMITTING |
 * | COMMITTING | committed                                                | rows < from_row from the old keys, the rest from the new | COMMITTED |
 * | COMMITTED | every runner has passed from_row                          | release the old leases                    | DONE      |
 * | OPENING, PREPARE | abort                                              | old context continues                       | ABORTED   |
 *
 * No row has to arrive for COMMIT, so a held feed is fine. A crash before the commit is an abort; a
 * commit with unknown outcome is read again before either.
 */
export type SwapPhase = "OPENING" | "PREPARE" | "COMMITTING" | "COMMITTED" | "DONE" | "ABORTED";

export interface SwapState {
  readonly phase: SwapPhase;
  /**
   * Last effective row of the sources, as far as is known: a key that is warm may know of more rows than the log has,
   * from the file behind a feed that has not begun.
   */
  readonly sourceRow: number;
  /** Per new key the last row it is warm up to, or null while warming up. */
  readonly keys: ReadonlyMap<string, number | null>;
  /** Per live runner the last row it has reported as ended for the current `fromRow`, or null. */
  readonly runners: ReadonlyMap<string, number | null>;
  /** First row taken from the new keys; null while OPENING. */
  readonly fromRow: number | null;
  readonly reason: string | null;
}

export type SwapInput =
  | { readonly kind: "key_warm"; readonly key: string; readonly row: number }
  | { readonly kind: "source_row"; readonly row: number }
  | { readonly kind: "runner_joined"; readonly sessionId: string }
  | { readonly kind: "runner_lost"; readonly sessionId: string }
  | {
      readonly kind: "ack";
      readonly sessionId: string;
      readonly fromRow: number;
      readonly endedRow: number;
    }
  | { readonly kind: "committed" }
  | { readonly kind: "runner_passed"; readonly sessionId: string; readonly row: number }
  | { readonly kind: "abort"; readonly reason: string };

export type SwapEffect =
  | { readonly kind: "prepare"; readonly fromRow: number }
  | { readonly kind: "commit"; readonly fromRow: number }
  | { readonly kind: "release_old" }
  | { readonly kind: "aborted"; readonly reason: string };

export interface SwapStep {
  readonly state: SwapState;
  readonly effects: readonly SwapEffect[];
}

/** How far a new key may lie behind the sources and still count as warm, in rows. */
export const warmLagRowsMax = 2;
/** How far ahead of the sources `from_row` lies at least, in rows. */
export const prepareAheadRows = 2;

/** A swap that has just been opened for `keys`, with the runners that are live. */
export function openSwap(
  keys: readonly string[],
  runners: readonly string[],
  sourceRow: number,
): SwapState {
  return {
    phase: "OPENING",
    sourceRow,
    keys: new Map(keys.map((key) => [key, null])),
    runners: new Map(runners.map((sessionId) => [sessionId, null])),
    fromRow: null,
    reason: null,
  };
}

/** One step of the promotion machine. */
export function swapStep(state: SwapState, input: SwapInput): SwapStep {
  switch (input.kind) {
    case "key_warm":
      if (!state.keys.has(input.key)) return same(state);
      return advance({
        ...state,
        sourceRow: Math.max(state.sourceRow, input.row),
        keys: new Map(state.keys).set(input.key, input.row),
      });
    case "source_row":
      return advance({ ...state, sourceRow: Math.max(state.sourceRow, input.row) });
    case "runner_joined":
      if (state.phase === "COMMITTING" || isOver(state)) return same(state);
      return advance({ ...state, runners: new Map(state.runners).set(input.sessionId, null) });
    case "runner_lost": {
      const runners = new Map(state.runners);
      runners.delete(input.sessionId);
      return advance({ ...state, runners });
    }
    case "ack":
      return onAck(state, input.sessionId, input.fromRow, input.endedRow);
    case "committed":
      if (state.phase !== "COMMITTING") return same(state);
      return advance({ ...state, phase: "COMMITTED" });
    case "runner_passed":
      if (state.phase !== "COMMITTED" || !state.runners.has(input.sessionId)) return same(state);
      return advance({ ...state, runners: new Map(state.runners).set(input.sessionId, input.row) });
    case "abort":
      if (state.phase !== "OPENING" && state.phase !== "PREPARE") return same(state);
      return {
        state: { ...state, phase: "ABORTED", reason: input.reason },
        effects: [{ kind: "aborted", reason: input.reason }],
      };
  }
}

function onAck(state: SwapState, sessionId: string, fromRow: number, endedRow: number): SwapStep {
  if (state.phase !== "PREPARE" || fromRow !== state.fromRow || !state.runners.has(sessionId))
    return same(state);
  if (endedRow >= fromRow)
    return prepare({ ...state, sourceRow: Math.max(state.sourceRow, endedRow) });
  return advance({ ...state, runners: new Map(state.runners).set(sessionId, endedRow) });
}

function advance(state: SwapState): SwapStep {
  const { fromRow } = state;
  if (state.phase === "OPENING") {
    const isWarm = [...state.keys.values()].every(
      (row) => row !== null && row >= state.sourceRow - warmLagRowsMax,
    );
    return isWarm ? prepare(state) : same(state);
  }
  if (fromRow === null) return same(state);
  const rows = [...state.runners.values()];
  if (state.phase === "PREPARE" && rows.every((row) => row !== null)) {
    return { state: { ...state, phase: "COMMITTING" }, effects: [{ kind: "commit", fromRow }] };
  }
  if (state.phase === "COMMITTED" && rows.every((row) => row !== null && row >= fromRow)) {
    return { state: { ...state, phase: "DONE" }, effects: [{ kind: "release_old" }] };
  }
  return same(state);
}

function prepare(state: SwapState): SwapStep {
  const fromRow = state.sourceRow + prepareAheadRows;
  const runners = new Map([...state.runners.keys()].map((sessionId) => [sessionId, null]));
  const next: SwapState = { ...state, phase: "PREPARE", fromRow, runners };
  const step: SwapStep = { state: next, effects: [{ kind: "prepare", fromRow }] };
  if (runners.size > 0) return step;
  const committed = advance(next);
  return { state: committed.state, effects: [...step.effects, ...committed.effects] };
}

function isOver(state: SwapState): boolean {
  return state.phase === "COMMITTED" || state.phase === "DONE" || state.phase === "ABORTED";
}

function same(state: SwapState): SwapStep {
  return { state, effects: [] };
}
