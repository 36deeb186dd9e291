import type { OnlineEvent, OnlineOptions } from "./online-run.ts";

/** A problem that goes on is told again after this time at the earliest, milliseconds. */
const againMs = 60_000;
/** Problems remembered at most; beyond it the oldest may be told again. */
const problemsMax = 64;

/** An event of no row: when it was told, and how often it came since. */
interface RepeatedEvent {
  readonly kind: OnlineEvent["kind"];
  readonly message: string;
  atMs: number;
  more: number;
}

/** Tells the caller of a run what happens. What the caller's own functions throw is a problem, and ends nothing. */
export class RunReporter {
  readonly #options: Pick<OnlineOptions, "onEvent" | "onProblem">;
  readonly #nowMs: () => number;
  #lastEvent: RepeatedEvent | undefined;
  /** Problems told lately: when, and how often each came since. */
  readonly #told = new Map<string, { atMs: number; more: number }>();

  constructor(options: Pick<OnlineOptions, "onEvent" | "onProblem">, nowMs: () => number) {
    this.#options = options;
    this.#nowMs = nowMs;
  }

  /**
   * What is of no row and comes several times in a row is told once, then once a minute, and before anything else, with
   * its count.
   *
   * @param row the row it happened at; left out, or negative, for none
   */
  event(kind: OnlineEvent["kind"], message: string, row = -1): void {
    const last = this.#lastEvent;
    const nowMs = this.#nowMs();
    if (last !== undefined && row < 0 && last.kind === kind && last.message === message) {
      last.more += 1;
      if (nowMs - last.atMs >= againMs) this.#tellRepeated(last, nowMs);
      return;
    }
    if (last !== undefined && last.more > 0) this.#tellRepeated(last, nowMs);
    this.#lastEvent = row < 0 ? { kind, message, atMs: nowMs, more: 0 } : undefined;
    this.#tell(kind, message, row);
  }

  #tellRepeated(last: RepeatedEvent, nowMs: number): void {
    const { kind, message, more } = last;
    last.atMs = nowMs;
    last.more = 0;
    this.#tell(kind, `${message} (${more} more ${more === 1 ? "time" : "times"})`, -1);
  }

  #tell(kind: OnlineEvent["kind"], message: string, row: number): void {
    try {
      this.#options.onEvent?.(row < 0 ? { kind, message } : { kind, message, row });
    } catch (error) {
      this.problem(`onEvent failed: ${String(error)}`);
    }
  }

  /** Told once; while it comes again and again, once a minute with its count. */
  problem(problem: string): void {
    const nowMs = this.#nowMs();
    const told = this.#told.get(problem);
    if (told !== undefined && nowMs - told.atMs < againMs) {
      told.more += 1;
      return;
    }
    const more = told?.more ?? 0;
    this.#told.delete(problem);
    this.#told.set(problem, { atMs: nowMs, more: 0 });
    if (this.#told.size > problemsMax) this.#told.delete(this.#told.keys().next().value ?? "");
    const times = more === 0 ? "" : ` (and ${more} more ${more === 1 ? "time" : "times"} before)`;
    try {
      this.#options.onProblem?.(problem + times);
    } catch {
      // Nobody is left to be told.
    }
  }
}
