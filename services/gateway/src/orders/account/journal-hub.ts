import { type Clock, PushStream } from "@qmtl/service-kit";
import type { JournalEntryRow } from "../store/journal-store.ts";

/** Largest number of batches that wait for one reader. */
const watchedBatchesMax = 4_096;

/** Entries of one booking; an empty batch without an account shows that the hub is alive. */
interface JournalBatch {
  readonly account: string;
  readonly rows: readonly JournalEntryRow[];
}

/** Longest time without a batch for a watcher, in milliseconds; then an empty one shows that the hub is alive. */
const keepAliveMs = 1_500;

/** Wakes those who watch journals, in process, as soon as entries are durable. */
export class JournalHub {
  readonly #clock: Clock;
  readonly #streams = new Map<PushStream<JournalBatch>, readonly string[]>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  publish(account: string, rows: readonly JournalEntryRow[]): void {
    for (const [stream, accounts] of this.#streams) {
      if (accounts.includes(account)) stream.push({ account, rows });
    }
  }

  /** Entries from now on. Subscribe before reading what is stored, and skip entries that come twice. */
  watch(account: string): PushStream<JournalBatch> {
    return this.watchAll([account]);
  }

  watchAll(accounts: readonly string[]): PushStream<JournalBatch> {
    let timer = this.#clock.setTimer(() => beat(), keepAliveMs);
    const stream = new PushStream<JournalBatch>({
      itemsMax: watchedBatchesMax,
      onEnd: () => {
        timer.cancel();
        this.#streams.delete(stream);
      },
    });
    const beat = (): void => {
      // A reader that has batches to read needs no sign of life.
      if (stream.size === 0) stream.push({ account: "", rows: [] });
      timer = this.#clock.setTimer(() => beat(), keepAliveMs);
    };
    this.#streams.set(stream, accounts);
    return stream;
  }

  close(): void {
    for (const stream of [...this.#streams.keys()]) stream.end();
  }
}
