import { forgetMs, type TimelineState, waitedFor } from "@qmtl/core/queues";
import type { Clock, ClockTimer } from "@qmtl/service-kit";
import type { SourceValue } from "../ports.ts";

/** A timer that fires this much too late means that this process stood still, milliseconds. */
const ownPauseMsMin = 1_000;
/** Longest time between two timers while there are runners: a pause is noticed whatever the slice is at, milliseconds. */
const lookMsMax = 1_000;

/** A timeline of this gateway, with what its state does not hold: what its rows bring, and who waits until that is booked. */
export class OwnedTimeline {
  #state: TimelineState;
  /** Since when the slice is in its phase, epoch milliseconds. */
  phaseTimeMs: number;
  /** What the rows of the slice that is being appended bring, not booked yet. */
  readonly values: SourceValue[];
  readonly #waiting = new Set<(isBooked: boolean) => void>();
  #timer: ClockTimer | undefined;
  /** When the timer fires, monotonic milliseconds. */
  #dueMs: number | undefined;
  /** For how long this process stood still since the last tick, milliseconds. */
  #pausedMs = 0;

  constructor(state: TimelineState, values: readonly SourceValue[], nowMs: number) {
    this.#state = state;
    this.phaseTimeMs = nowMs;
    this.values = [...values];
  }

  get state(): TimelineState {
    return this.#state;
  }

  become(state: TimelineState, nowMs: number): void {
    const { phase, timeMs } = this.#state.slice;
    if (state.slice.phase !== phase || state.slice.timeMs !== timeMs) this.phaseTimeMs = nowMs;
    this.#state = state;
  }

  hasAny(sources: ReadonlySet<string>): boolean {
    for (const source of this.state.feeds.keys()) if (sources.has(source)) return true;
    return false;
  }

  /** Feeds that a session runs on. */
  sourcesOf(sessionId: string): string[] {
    return [...(this.state.runners.get(sessionId)?.feeds.keys() ?? [])];
  }

  /** Resolves to true when nothing is left to be booked, to false when that is not so within `waitMs`. */
  untilBooked(clock: Clock, waitMs: number): Promise<boolean> {
    const { phase } = this.state.slice;
    if (phase !== "append" && phase !== "book") return Promise.resolve(true);
    return new Promise((resolve) => {
      const end = (isBooked: boolean): void => {
        timer.cancel();
        this.#waiting.delete(end);
        resolve(isBooked);
      };
      const timer = clock.setTimer(() => end(false), waitMs);
      this.#waiting.add(end);
    });
  }

  /** The slice is booked. */
  booked(): void {
    for (const end of [...this.#waiting]) end(true);
  }

  /**
   * Sets the timer for the next moment at which somebody may have been silent for too long. `tick` is told for how long
   * this process stood still meanwhile, 0 for not at all; after that, what came may be taken before the timer fires.
   */
  watch(clock: Clock, tick: (ownPauseMs: number) => void): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const nowMs = clock.monotonicMs();
    this.#notePause(nowMs);
    this.#dueMs = undefined;
    if (this.state.runners.size === 0) return;
    const nextMs = this.#pausedMs > 0 ? nowMs : Math.min(nextTickMs(this.state), nowMs + lookMsMax);
    const delayMs = Math.max(nextMs - nowMs, 1);
    this.#dueMs = nowMs + delayMs;
    this.#timer = clock.setTimer(() => {
      this.#notePause(clock.monotonicMs());
      this.#dueMs = undefined;
      const pausedMs = this.#pausedMs;
      this.#pausedMs = 0;
      tick(pausedMs);
    }, delayMs);
  }

  #notePause(nowMs: number): void {
    const lateMs = nowMs - (this.#dueMs ?? nowMs);
    if (lateMs >= ownPauseMsMin) this.#pausedMs = Math.max(this.#pausedMs, lateMs);
  }

  close(): void {
    this.#timer?.cancel();
    for (const end of [...this.#waiting]) end(false);
  }
}

function nextTickMs(state: TimelineState): number {
  let nextMs = Number.POSITIVE_INFINITY;
  const waited = new Set(waitedFor(state));
  for (const [sessionId, { standing, lastHeardMs, rejoinUntilMs }] of state.runners) {
    let dueMs = Number.POSITIVE_INFINITY;
    if (waited.has(sessionId)) dueMs = lastHeardMs + state.sessionDeadMs;
    else if (standing === "out") dueMs = lastHeardMs + forgetMs;
    else if (standing === "rejoining") {
      dueMs = lastHeardMs + state.sessionDeadMs;
      if (Number.isFinite(rejoinUntilMs)) dueMs = Math.min(dueMs, rejoinUntilMs);
    }
    nextMs = Math.min(nextMs, dueMs);
  }
  return nextMs;
}
