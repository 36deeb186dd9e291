import type { SdkClock, SdkTimer } from "../../../control/index.ts";

/** Refusals of a router whose gate is behind the gate here. */
const passing: ReadonlySet<string> = new Set([
  "GATE_SHUT",
  "LEASE_MISSING",
  "FENCE_STALE",
  "NOT_EMITTER",
  "NOT_ACTIVE",
  "DOMAIN_MISMATCH",
]);
const againMs = 250;
const againMsMax = 5_000;

/**
 * States targets again that the router refused while the gate here let them out: the router's gate may be a moment
 * behind, and the next bucket may be a day away. Waits 250 ms, then twice as long each time, at most 5 s.
 */
export class TargetResend {
  readonly #clock: SdkClock;
  readonly #again: () => void;
  #refusals = 0;
  #timer: SdkTimer | undefined;

  constructor(clock: SdkClock, again: () => void) {
    this.#clock = clock;
    this.#again = again;
  }

  /** Takes the reasons for which targets of a call were refused; empty if all were taken. */
  answered(reasons: readonly string[]): void {
    if (!reasons.some((reason) => passing.has(reason))) {
      this.cancel();
      return;
    }
    if (this.#timer !== undefined) return;
    const waitMs = Math.min(againMsMax, againMs * 2 ** this.#refusals);
    this.#refusals++;
    this.#timer = this.#clock.setTimer(() => {
      this.#timer = undefined;
      this.#again();
    }, waitMs);
  }

  /** Cancels the wait; the next refusal counts as the first. */
  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#refusals = 0;
  }
}
