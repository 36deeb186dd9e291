import type { ClockSpec } from "@qmtl/core/dataflow";
import {
  firstInputRow,
  inputRowEndMs,
  isInputEnded,
  isInputKnown,
  isPastFile,
  lastInputRow,
  type OnlineInput,
  statedEndMs,
} from "../log/input.ts";
import type { OnlineGraph } from "../session/graph.ts";

/** The buckets that end at one moment. */
export interface OnlineBucket {
  /** Milliseconds since the epoch. */
  readonly endMs: number;
  /** Row of each clock that has a bucket there, by the clock's key. */
  readonly rows: ReadonlyMap<string, number>;
}

/** A row of a feed that ends with a bucket. */
export interface FeedEnd {
  readonly source: string;
  readonly row: number;
}

/** What the signal of a target is at a bucket. */
export type SignalState =
  /** `none`: the clock of the target has no bucket there. */
  | { readonly kind: "none" }
  /** It has a value. `beyond`: the value, if it is beyond the bounds of the target, which holds it there. */
  | { readonly kind: "value"; readonly beyond?: number }
  /**
   * It has no value. `source`: the nearest that has none; undefined if all have one. `isWarm`: it had one before, in
   * this process or in its past. `ended`: its clock has no further bucket; undefined: it has a bucket there.
   */
  | {
      readonly kind: "missing";
      readonly source: string | undefined;
      readonly isWarm: boolean;
      readonly ended?: EndedClock;
    };

/** How long the clock of a target has had no bucket. */
export interface EndedClock {
  /** Intervals of it that have ended since its last bucket. */
  readonly intervals: number;
  /** End of its last bucket, milliseconds, if the signal had a value there; otherwise NaN. */
  readonly sinceMs: number;
}

/** Result of computing one bucket, for one strategy. */
export interface ComputedBucket {
  /** Highest row of the strategy's feeds at this bucket: with one feed, its row. Never decreases. */
  readonly row: number;
  readonly bucketEndMs: number;
  /** End of the previous bucket; −∞ for the first. */
  readonly previousEndMs: number;
  /** Rows of feeds that end with it, those that only other strategies of the process read among them. */
  readonly ends: readonly FeedEnd[];
  /** Value of each target node, in the graph's order; NaN keeps the previous value. */
  readonly targets: readonly number[];
  /** Row at which each target was last to be sized, in the same order; NaN keeps the previous one. */
  readonly sizedRows: readonly number[];
  /** What the signal of each target is. */
  readonly signals: readonly SignalState[];
}

/** Result of computing one bucket, for all strategies of a context. */
export interface ContextBucket
  extends Pick<ComputedBucket, "bucketEndMs" | "previousEndMs" | "ends"> {
  /** Highest row of all feeds at this bucket. */
  readonly row: number;
  /** What it is for each strategy. */
  readonly parts: ReadonlyMap<OnlineGraph, ComputedBucket>;
}

interface ClockState {
  readonly spec: ClockSpec;
  readonly inputs: OnlineInput[];
  lastRow: number;
}

/**
 * The clocks of a run's inputs, and a position that is common to all. Buckets come in order of their end: the next one
 * is known once every clock's next row is in the log, or is known to end later, or that clock has ended. The wall clock
 * decides nothing.
 */
export class OnlineClocks {
  readonly #states = new Map<string, ClockState>();
  #standMs = Number.NEGATIVE_INFINITY;

  /** Begins before the first row of each clock. */
  constructor(inputs: readonly OnlineInput[]) {
    for (const input of inputs) {
      const { clock } = input;
      const state = this.#states.get(clock.key) ?? { spec: clock, inputs: [], lastRow: Number.NaN };
      state.inputs.push(input);
      this.#states.set(clock.key, state);
    }
    this.standAt(Number.NEGATIVE_INFINITY);
  }

  /** Highest row of the clocks; −1 before the first. */
  get row(): number {
    let row = -1;
    for (const { lastRow } of this.#states.values()) if (lastRow > row) row = lastRow;
    return row;
  }

  /** Highest row of some of the clocks; −1 before the first. */
  rowOf(keys: Iterable<string>): number {
    let row = -1;
    for (const key of keys) {
      const own = this.lastRow(key);
      if (own > row) row = own;
    }
    return row;
  }

  /** Keys of the clocks. */
  get keys(): readonly string[] {
    return [...this.#states.keys()];
  }

  /** Last row of a clock up to the current position; NaN while it is not known. */
  lastRow(clock: string): number {
    return this.#states.get(clock)?.lastRow ?? Number.NaN;
  }

  /** First row of a clock; NaN while it is not known. */
  firstRow(clock: string): number {
    const state = this.#states.get(clock);
    return state === undefined ? Number.NaN : firstRowOf(state);
  }

  /** Row after the last one that every input of a clock has; NaN before anything is known. */
  nextRow(clock: string): number {
    const state = this.#states.get(clock);
    return state === undefined ? Number.NaN : nextRowOf(state);
  }

  /**
   * End of the last bucket that can be computed without the rows that are not there; −∞ for none. History of a feed may
   * end after that of another and before its first row: on a weekend, in a longer bar, or before it is listed.
   *
   * @param lacking other rows that are not there, by their clock's key. @default none
   */
  availableMs(lacking: Iterable<readonly [clock: string, row: number]> = []): number {
    let untilMs = Number.POSITIVE_INFINITY;
    for (const state of this.#states.values()) {
      if (!state.inputs.every(isOver))
        untilMs = Math.min(untilMs, beforeMs(state, nextRowOf(state)));
    }
    for (const [clock, row] of lacking) {
      const state = this.#states.get(clock);
      if (state !== undefined) untilMs = Math.min(untilMs, beforeMs(state, row));
    }
    const ends = [...this.#states.values()].map((state) => lastEndMs(state, untilMs));
    return Math.max(Number.NEGATIVE_INFINITY, ...ends);
  }

  /** Moves to the position after the last bucket that ends at `endMs` or before. */
  standAt(endMs: number): void {
    this.#standMs = endMs;
    for (const state of this.#states.values()) state.lastRow = rowUntil(state, endMs);
  }

  /** End of the bucket of a clock's row; NaN for none. */
  endMs(clock: string, row: number): number {
    const state = this.#states.get(clock);
    return state === undefined ? Number.NaN : endOf(state, row);
  }

  /** The next bucket; undefined while it is not known. */
  next(): OnlineBucket | undefined {
    const open: { readonly key: string; readonly row: number; readonly endMs: number }[] = [];
    // The rows that are not known end later than this.
    let laterMs = Number.POSITIVE_INFINITY;
    for (const [key, state] of this.#states) {
      // A queue that had not begun when the position was last set may have begun by now.
      if (Number.isNaN(state.lastRow)) state.lastRow = rowUntil(state, this.#standMs);
      const row = state.lastRow + 1;
      if (state.inputs.every((input) => isInputEnded(input, row))) continue;
      const unknown = state.inputs.filter((input) => !isInputKnown(input, row));
      if (unknown.length > 0) {
        for (const { replica } of unknown) laterMs = Math.min(laterMs, replica.endsAfter(row));
        if (laterMs === Number.NEGATIVE_INFINITY) return undefined;
        continue;
      }
      open.push({ key, row, endMs: endOf(state, row) });
    }
    if (open.length === 0) return undefined;
    const endMs = Math.min(...open.map((each) => each.endMs));
    if (endMs > laterMs) return undefined;
    const rows = open.filter((each) => each.endMs === endMs);
    return { endMs, rows: new Map(rows.map(({ key, row }) => [key, row])) };
  }

  /** Every clock has ended at the current position. */
  get isAtEnd(): boolean {
    return [...this.#states.values()].every(({ inputs, lastRow }) =>
      inputs.every((input) => isInputEnded(input, lastRow + 1)),
    );
  }

  /** A clock has no bucket after the current position. */
  isEnded(clock: string): boolean {
    const state = this.#states.get(clock);
    return state?.inputs.every((input) => isInputEnded(input, state.lastRow + 1)) === true;
  }

  /**
   * Sources without whose next row no bucket can be computed, while another clock is `rows` or more rows ahead; none if
   * nothing is ahead.
   */
  waitsFor(rows: number): readonly string[] {
    const late = new Set<string>();
    let isAhead = false;
    for (const state of this.#states.values()) {
      const row = state.lastRow + 1;
      if (state.inputs.every((input) => isInputEnded(input, row))) continue;
      const lacking = state.inputs.filter((input) => !isInputKnown(input, row));
      for (const { source, nodeId } of lacking) late.add(source === "" ? nodeId : source);
      if (lacking.length === 0 && lastKnownRow(state) - state.lastRow >= rows) isAhead = true;
    }
    return isAhead ? [...late] : [];
  }

  /** Moves past the next bucket. */
  advance({ endMs, rows }: OnlineBucket): void {
    this.#standMs = endMs;
    for (const [key, row] of rows) {
      const state = this.#states.get(key);
      if (state !== undefined) state.lastRow = row;
    }
  }

  /** Rows of feeds that end with a bucket, one per feed. */
  ends({ rows }: OnlineBucket): FeedEnd[] {
    const ends = new Map<string, FeedEnd>();
    for (const [key, row] of rows) {
      for (const { source } of this.#states.get(key)?.inputs ?? []) {
        if (source !== "") ends.set(source, { source, row });
      }
    }
    return [...ends.values()];
  }
}

function isOver(input: OnlineInput): boolean {
  return input.replica.isEnded;
}

/**
 * Time up to which buckets can be computed without a row, milliseconds: the end of the row before it, if that is in the
 * log. A row after history is waited for only from its own end on, since what ends before is history, too. ∞ for a row
 * that holds nothing back: the file ends before it, or nothing is known of its clock yet.
 */
function beforeMs(state: ClockState, row: number): number {
  if (Number.isNaN(row)) return Number.POSITIVE_INFINITY;
  const { inputs } = state;
  if (inputs.some(({ replica }) => replica.row(row - 1) !== undefined))
    return endOf(state, row - 1);
  const stated = inputs.map((input) => statedEndMs(input, row)).find((end) => !Number.isNaN(end));
  if (stated !== undefined) return stated - 1;
  if (inputs.some((input) => isPastFile(input, row))) return Number.POSITIVE_INFINITY;
  // A queue that begins with this row has none before it to wait at.
  if (row <= firstRowOf(state)) return Number.POSITIVE_INFINITY;
  const endMs = endOf(state, row - 1);
  return Number.isNaN(endMs) ? Number.NEGATIVE_INFINITY : endMs;
}

/** End of the last row that is there and ends at `untilMs` or before; −∞ for none. */
function lastEndMs(state: ClockState, untilMs: number): number {
  const row = Math.min(rowUntil(state, untilMs), nextRowOf(state) - 1);
  if (!(row >= firstRowOf(state))) return Number.NEGATIVE_INFINITY;
  const endMs = endOf(state, row);
  return endMs <= untilMs ? endMs : Number.NEGATIVE_INFINITY;
}

function firstRowOf({ inputs }: ClockState): number {
  return Math.min(...inputs.map(firstInputRow));
}

/** First row of an input that has not been freed; −∞ if no row was freed. */
function firstKeptRow({ replica }: OnlineInput): number {
  return replica.isTrimmed ? replica.firstRow : Number.NEGATIVE_INFINITY;
}

function lastKnownRow({ inputs }: ClockState): number {
  return Math.min(...inputs.map(lastInputRow));
}

function nextRowOf(state: ClockState): number {
  return lastKnownRow(state) + 1;
}

/** End of a row's bucket: as written in an input that has the row, else as computed from the clock; NaN if unknown. */
function endOf({ inputs }: ClockState, row: number): number {
  const written = inputs.find(({ replica }) => replica.row(row)?.content !== undefined);
  const ends = (written === undefined ? inputs : [written]).map((each) => inputRowEndMs(each, row));
  return ends.find((end) => !Number.isNaN(end)) ?? Number.NaN;
}

function rowUntil(state: ClockState, endMs: number): number {
  const first = firstRowOf(state);
  if (Number.isNaN(first)) return Number.NaN;
  // Freed rows are not searched: a position among them becomes the one before the first row that is kept.
  let low = Math.max(first, ...state.inputs.map(firstKeptRow)) - 1;
  if (endMs === Number.NEGATIVE_INFINITY) return low;
  const lasts = state.inputs.map((input) =>
    Math.max(lastInputRow(input), (input.feed?.rows.endRow ?? Number.NEGATIVE_INFINITY) - 1),
  );
  let high = Math.max(low, ...lasts.filter((row) => !Number.isNaN(row)));
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (endOf(state, middle) <= endMs) low = middle;
    else high = middle - 1;
  }
  return low;
}
