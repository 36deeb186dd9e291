import type { Clock } from "@qmtl/service-kit";

/** A row number that only increases, and callers that wait until it has reached theirs. */
export class RowWaiters {
  #row = -1;
  readonly #waiting = new Set<{
    readonly row: number;
    readonly done: (reached: boolean) => void;
  }>();

  get row(): number {
    return this.#row;
  }

  advance(row: number): void {
    if (row <= this.#row) return;
    this.#row = row;
    for (const waiter of [...this.#waiting]) {
      if (waiter.row > row) continue;
      this.#waiting.delete(waiter);
      waiter.done(true);
    }
  }

  /** True when the row was reached, false when it was not within `timeoutMs`. */
  reached(row: number, clock: Clock, timeoutMs: number): Promise<boolean> {
    if (row <= this.#row) return Promise.resolve(true);
    return new Promise((resolve) => {
      const waiter = {
        row,
        done: (reached: boolean): void => {
          timer.cancel();
          resolve(reached);
        },
      };
      const timer = clock.setTimer(() => {
        this.#waiting.delete(waiter);
        resolve(false);
      }, timeoutMs);
      this.#waiting.add(waiter);
    });
  }
}
