import { type Clock, sleep } from "@qmtl/service-kit";

/** Pause before the log is asked again, milliseconds. */
const againMs = 1_000;

interface LostRowsPorts {
  readonly clock: Clock;
  /** Last row of a feed that its timeline knows of. */
  readonly logRowOf: (source: string) => number;
  /** Has the timeline take over what is in the log. Never rejects. */
  readonly look: () => Promise<void>;
}

/**
 * Feeds of which rows may be in the log that nobody was told of, because the answer was lost. Their holder, once it has
 * seen them there, does not send them again, and their timeline would wait for them for ever. So the log is asked every
 * second until a feed has come further, by what the log says or by what its holder sends again.
 */
export class LostRows {
  readonly #ports: LostRowsPorts;
  readonly #looking = new Set<string>();
  readonly #closed = new AbortController();

  constructor(ports: LostRowsPorts) {
    this.#ports = ports;
  }

  lookFor(source: string): void {
    if (this.#looking.has(source)) return;
    this.#looking.add(source);
    void this.#look(source).finally(() => this.#looking.delete(source));
  }

  close(): void {
    this.#closed.abort();
  }

  async #look(source: string): Promise<void> {
    const { clock, logRowOf, look } = this.#ports;
    const { signal } = this.#closed;
    const fromRow = logRowOf(source);
    for (;;) {
      await sleep(clock, againMs, signal);
      if (signal.aborted || logRowOf(source) !== fromRow) return;
      await look();
    }
  }
}
