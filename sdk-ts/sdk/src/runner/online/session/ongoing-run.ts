import { type SdkClock, type SdkTimer, stopwatch } from "../../../control/index.ts";
import type { RunReports } from "./run-reporter.ts";

/** A run as its parts see it: they make it continue, and their failures end it. Implemented by `OnlineStrategyRun`. */
export interface OngoingRun {
  /** Something changed: everything that can continue does. */
  moveOn(): void;
  /** Runs `work`; if it throws, the run ends with that failure. */
  guard(work: () => void): void;
  /** Ends the run with a failure; later failures are ignored. */
  fail(failure: unknown): void;
}

/** Calls in the background, which only the end of the run waits for. Their failures are reported as problems. */
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

  /** Resolves when all calls under way have ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#tasks);
  }
}

/** The clocks of a run. */
export interface RunClock extends SdkClock {
  /**
   * Milliseconds since the run was created, by the clock that advanced furthest; the time of leases is measured by it.
   */
  elapsedMs(): number;
}

/** The clocks of a machine, and the time since this object was created. */
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
