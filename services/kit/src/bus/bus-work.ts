import { BusError } from "./event-bus.ts";

/** The work a bus has under way: none begins once the bus is closed, and closing waits for what has begun. */
export class BusWork {
  readonly #closing = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();

  /** Aborts when the bus is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** @throws {BusError} BUS_UNAVAILABLE once the bus is closed. */
  checkOpen(): void {
    if (this.#closing.signal.aborted) throw new BusError("BUS_UNAVAILABLE", "the bus is closed");
  }

  /** Makes `close` wait for `work`. */
  track<T>(work: Promise<T>): Promise<T> {
    const tracked = work.finally(() => this.#underWay.delete(tracked));
    this.#underWay.add(tracked);
    return tracked;
  }

  /** Refuses further work, and waits for what is under way and what that begins. May be called twice. */
  async close(): Promise<void> {
    this.#closing.abort();
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
  }
}
