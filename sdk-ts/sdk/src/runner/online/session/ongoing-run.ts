import { type SdkClock, type SdkTimer, stopwatch } from "../../../control/index.ts";
import type { RunReports } from "./run-reporter.ts";

/** A run as its parts see it: they move it on, and a failure of theirs ends it. Implemented by `OnlineStrategyRun`. */
export interface OngoingRun {
  /** Something changed: everything that can go on does. */
  moveOn(): void;
  /** Does work whose failure ends the run. */
  guard(work: () => void): void;
  /** Ends the run with a failure; the first one counts. */
  fail(failure: unknown): void;
}

/** Calls that nobody waits for while a run goes on; its end does. Their failures are problems. */
export class RunTasks {
  readonly #tasks = new Set<Promise<unknown>>();
  readonly #reports: RunReports;

  constructor(reports: RunReports) {
    this.#reports = reports;
  }

  track(call: Promise<unknown>): void {
    const kept = call
      .catch((failure: unknown) => this.#reports.problem(String(failure)))
      .finally(() => this.#tasks.delete(kept));
    this.#tasks.add(kept);
  }

  /** Resolves when everything under way has ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#tasks);
  }
}

/** The clocks of a run. */
export interface RunClock extends SdkClock {
  /** Milliseconds since the run was made, by the clock that went furthest: leases are counted by it. */
  elapsedMs(): number;
}

/** The clocks of a machine, and the time since this was made. */
export class StartedClock implements RunClock {
  readonly #clock: SdkClock;
  readonly #elapsedMs: () => number;

  constructor(clock: SdkClock) {
    this.#clock = clock;
    this.#elapsedMs = stopwatch(clock);
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }

  reading(): ReturnType<SdkClock["reading"]> {
    return this.#clock.reading();
  }

  setTimer(callback: () => void, delayMs: number): SdkTimer {
    return this.#clock.setTimer(callback, delayMs);
  }

  elapsedMs(): number {
    return this.#elapsedMs();
  }
}
