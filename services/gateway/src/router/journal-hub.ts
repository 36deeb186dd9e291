import { PushStream } from "@qmtl/service-kit";
import type { JournalEntryRow } from "./journal-store.ts";

/** Batches of entries that wait for one reader at most. */
export const watchedBatchesMax = 4_096;

/** Entries of one booking. */
export type JournalBatch = readonly JournalEntryRow[];

/** Wakes those who watch journals, in process, as soon as entries are durable. */
export class JournalHub {
  readonly #streams = new Map<PushStream<JournalBatch>, readonly string[]>();

  tell(account: string, rows: JournalBatch): void {
    for (const [stream, accounts] of this.#streams) {
      if (accounts.includes(account)) stream.push(rows);
    }
  }

  /** Entries from now on; subscribe before reading what is stored, and pass over what comes twice. */
  watch(account: string): PushStream<JournalBatch> {
    return this.watchAll([account]);
  }

  watchAll(accounts: readonly string[]): PushStream<JournalBatch> {
    const stream = new PushStream<JournalBatch>({
      itemsMax: watchedBatchesMax,
      onEnd: () => this.#streams.delete(stream),
    });
    this.#streams.set(stream, accounts);
    return stream;
  }

  close(): void {
    for (const stream of [...this.#streams.keys()]) stream.end();
  }
}
