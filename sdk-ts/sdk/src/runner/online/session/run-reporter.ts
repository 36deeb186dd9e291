import type { SdkClock } from "../../../control/index.ts";
/** Something that happened in a run. There are few events; they are for people. */
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
    | "taken_out"
    | "data_end"
    | "stopped";
  /** One sentence. */
  readonly message: string;
  /** The row at which it happened, if there is one. */
  readonly row?: number;
  /** Name of the strategy to which it happened, in a worker; absent if it happened to all of the process. */
  readonly strategy?: string;
}

/** Callbacks for what happens in a run. */
export interface ReportOptions {
  /** Called for each event. For people. @default none */
  readonly onEvent?: ((event: OnlineEvent) => void) | undefined;
  /**
   * Called for each temporary problem, such as an outage, which the run survives by itself. One that continues is
   * reported again once a minute. For logs. @default none
   */
  readonly onProblem?: ((problem: string) => void) | undefined;
}

/** A problem that continues is reported again after this time at the earliest, milliseconds. */
const againMs = 60_000;
/** Largest number of problems remembered; beyond it, the oldest may be reported again at once. */
const problemsMax = 64;

/** An event without a row: when it was last emitted, and how often it has occurred since. */
interface RepeatedEvent {
  readonly kind: OnlineEvent["kind"];
  readonly message: string;
  atMs: number;
  more: number;
}

/** What the parts of a run report. */
export interface RunReports {
  /**
   * Emits an event, for people.
   *
   * @param row the row it happened at; left out, or negative, for none
   */
  event(kind: OnlineEvent["kind"], message: string, row?: number): void;
  /** Reports a temporary problem, which the run survives by itself. Nothing is reported once the run ends. */
  problem(problem: string): void;
}

/** Reports to the caller of a run. What the caller's callbacks throw is reported as a problem; the run continues. */
export class RunReporter implements RunReports {
  readonly #options: ReportOptions;
  readonly #clock: Pick<SdkClock, "nowMs">;
  readonly #ending: AbortSignal | undefined;
  #lastEvent: RepeatedEvent | undefined;
  /** Problems reported recently: when, and how often each has occurred since. */
  readonly #recent = new Map<string, { atMs: number; more: number }>();

  /** @param ending aborts when the run ends: from then on no problem is reported. @default never */
  constructor(options: ReportOptions, clock: Pick<SdkClock, "nowMs">, ending?: AbortSignal) {
    this.#options = options;
    this.#clock = clock;
    this.#ending = ending;
  }

  /**
   * An event without a row that occurs several times in succession is emitted at once, then at most once a minute with
   * its count, and once more with its count before the next different event.
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

  /** A callback of the caller or author threw: reported as a problem, even when the run is ending. */
  callbackFailed(name: string, failure: unknown): void {
    this.#problem(`${name} failed: ${String(failure)}`);
  }

  /** Reports a problem at once; while it recurs, at most once a minute with its count. */
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
      // There is nobody left to report this to.
    }
  }
}
