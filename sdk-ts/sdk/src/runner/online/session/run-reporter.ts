import type { SdkClock } from "../../../control/index.ts";
/** What happened in a run; few, for people. */
export interface OnlineEvent {
  /** Stable, for programs. */
  readonly kind:
    | "submitted"
    | "connected"
    | "unreachable"
    | "gate_opened"
    | "gate_shut"
    | "takeover"
    | "diverged"
    | "target_sent"
    | "target_refused"
    | "swap"
    | "data_end"
    | "stopped";
  /** One sentence. */
  readonly message: string;
  /** Row it happened at, where there is one. */
  readonly row?: number;
}

/** Who is told what happens in a run. */
export interface ReportOptions {
  /** Told what happens. For people. */
  readonly onEvent?: ((event: OnlineEvent) => void) | undefined;
  /** Outages on the way; they heal by themselves. One that goes on is told again once a minute. For logs. */
  readonly onProblem?: ((problem: string) => void) | undefined;
}

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

/** What the parts of a run report. */
export interface RunReports {
  /**
   * Something happened, for people.
   *
   * @param row the row it happened at; left out, or negative, for none
   */
  event(kind: OnlineEvent["kind"], message: string, row?: number): void;
  /** Something went wrong on the way and heals by itself. Once the run ends, nothing is reported any more. */
  problem(problem: string): void;
}

/** Reports to the caller of a run. What the caller's own functions throw is a problem, and ends nothing. */
export class RunReporter implements RunReports {
  readonly #options: ReportOptions;
  readonly #clock: Pick<SdkClock, "nowMs">;
  readonly #ending: AbortSignal | undefined;
  #lastEvent: RepeatedEvent | undefined;
  /** Problems told lately: when, and how often each came since. */
  readonly #recent = new Map<string, { atMs: number; more: number }>();

  /** @param ending aborts when the run ends: no problem counts from then on. @default never */
  constructor(options: ReportOptions, clock: Pick<SdkClock, "nowMs">, ending?: AbortSignal) {
    this.#options = options;
    this.#clock = clock;
    this.#ending = ending;
  }

  /**
   * What is of no row and comes several times in a row is told once, then once a minute, and before anything else, with
   * its count.
   *
   * @param row the row it happened at; left out, or negative, for none
   */
  event(kind: OnlineEvent["kind"], message: string, row = -1): void {
    const last = this.#lastEvent;
    const nowMs = this.#clock.nowMs();
    if (last !== undefined && row < 0 && last.kind === kind && last.message === message) {
      last.more += 1;
      if (nowMs - last.atMs >= againMs) this.#emitRepeated(last, nowMs);
      return;
    }
    if (last !== undefined && last.more > 0) this.#emitRepeated(last, nowMs);
    this.#lastEvent = row < 0 ? { kind, message, atMs: nowMs, more: 0 } : undefined;
    this.#emit(kind, message, row);
  }

  #emitRepeated(last: RepeatedEvent, nowMs: number): void {
    const { kind, message, more } = last;
    last.atMs = nowMs;
    last.more = 0;
    this.#emit(kind, `${message} (${more} more ${more === 1 ? "time" : "times"})`, -1);
  }

  #emit(kind: OnlineEvent["kind"], message: string, row: number): void {
    try {
      this.#options.onEvent?.(row < 0 ? { kind, message } : { kind, message, row });
    } catch (error) {
      this.callbackFailed("onEvent", error);
    }
  }

  problem(problem: string): void {
    if (this.#ending?.aborted !== true) this.#problem(problem);
  }

  /** A function of the caller or author threw: a problem, at the end of the run too. */
  callbackFailed(name: string, failure: unknown): void {
    this.#problem(`${name} failed: ${String(failure)}`);
  }

  /** Told once; while it comes again and again, once a minute with its count. */
  #problem(problem: string): void {
    const nowMs = this.#clock.nowMs();
    const recent = this.#recent.get(problem);
    if (recent !== undefined && nowMs - recent.atMs < againMs) {
      recent.more += 1;
      return;
    }
    const more = recent?.more ?? 0;
    this.#recent.delete(problem);
    this.#recent.set(problem, { atMs: nowMs, more: 0 });
    if (this.#recent.size > problemsMax)
      this.#recent.delete(this.#recent.keys().next().value ?? "");
    const times = more === 0 ? "" : ` (and ${more} more ${more === 1 ? "time" : "times"} before)`;
    try {
      this.#options.onProblem?.(problem + times);
    } catch {
      // Nobody is left to be told.
    }
  }
}
