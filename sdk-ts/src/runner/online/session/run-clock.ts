import { type SdkClock, type SdkTimer, stopwatch } from "../../../control/index.ts";

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
