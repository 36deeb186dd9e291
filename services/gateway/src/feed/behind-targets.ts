import type { Clock, ClockTimer } from "@qmtl/service-kit";

/** Longest time that slices wait for targets of a runner because a gate is behind, milliseconds. */
const behindMsMax = 10_000;

/**
 * Runners whose targets are refused although their own gate lets them out: that gate, or the one of the order path, is a
 * moment behind, and the next slice waits until they are stated again. One that is behind for longer holds no feed.
 */
export class BehindTargets {
  readonly #clock: Clock;
  readonly #goOn: (sessionId: string) => void;
  /** While a session is waited for, the timer that ends it; afterwards undefined, until its targets are taken. */
  readonly #sessions = new Map<string, ClockTimer | undefined>();

  /** @param goOn called once a session is not to be waited for any longer */
  constructor(clock: Clock, goOn: (sessionId: string) => void) {
    this.#clock = clock;
    this.#goOn = goOn;
  }

  /** Whether the next slice waits for a session whose call was taken; `isBehind`: with targets refused for now. */
  mustWait(sessionId: string, isBehind: boolean): boolean {
    if (!isBehind) {
      this.forget(sessionId);
      return false;
    }
    if (this.#sessions.has(sessionId)) return this.#sessions.get(sessionId) !== undefined;
    const timer = this.#clock.setTimer(() => {
      this.#sessions.set(sessionId, undefined);
      this.#goOn(sessionId);
    }, behindMsMax);
    this.#sessions.set(sessionId, timer);
    return true;
  }

  /** The gate changed, or the session has left: the next refusal counts as the first. */
  forget(sessionId: string): void {
    this.#sessions.get(sessionId)?.cancel();
    this.#sessions.delete(sessionId);
  }

  close(): void {
    for (const timer of this.#sessions.values()) timer?.cancel();
  }
}
