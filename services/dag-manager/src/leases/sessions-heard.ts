import type { Clock } from "@qmtl/service-kit";

/** Sessions remembered before silent ones are forgotten. */
const sessionsMax = 4_096;

/** When each session was last heard of. In memory: after a restart nobody was. */
export class SessionsHeard {
  readonly #clock: Clock;
  readonly #silentMs: number;
  readonly #heardMs = new Map<string, number>();

  /** A session not heard of for `silentMs` counts as gone. */
  constructor(clock: Clock, silentMs: number) {
    this.#clock = clock;
    this.#silentMs = silentMs;
  }

  hear(sessionId: string): void {
    this.#heardMs.set(sessionId, this.#clock.monotonicMs());
    if (this.#heardMs.size <= sessionsMax) return;
    for (const known of [...this.#heardMs.keys()]) {
      if (!this.isHeard(known)) this.#heardMs.delete(known);
    }
  }

  isHeard(sessionId: string): boolean {
    const heardMs = this.#heardMs.get(sessionId);
    return heardMs !== undefined && this.#clock.monotonicMs() - heardMs < this.#silentMs;
  }
}
