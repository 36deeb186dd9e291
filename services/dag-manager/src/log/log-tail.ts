import type { LogEntry } from "./queue-log.ts";
import { seqsTaken } from "./record-run.ts";

/** How many of the newest entries are kept per key, at least (up to twice as many), and of how many keys at most. */
export const tailEntriesMax = 512;
const tailKeysMax = 4_096;

interface KeyTail {
  entries: LogEntry[];
}

/**
 * What this process appended last, and the readers that wait for more. Readers that keep up are served from here,
 * without the database; what is no longer here they read from the log.
 */
export class LogTail {
  readonly #tails = new Map<string, KeyTail>();
  readonly #listeners = new Map<string, Set<() => void>>();

  /** Takes entries that were committed, in order, and wakes their readers. */
  add(entries: readonly LogEntry[]): void {
    const keys = new Set<string>();
    for (const entry of entries) {
      this.#keep(entry);
      keys.add(entry.computeKey);
    }
    this.wake(keys);
  }

  /** Wakes the readers of the keys. */
  wake(keys: Iterable<string>): void {
    const listeners = new Set<() => void>();
    for (const key of keys) {
      for (const listener of this.#listeners.get(key) ?? []) listeners.add(listener);
    }
    for (const listener of listeners) listener();
  }

  /** Entries from `offset` on, or undefined when they are not all here. */
  from(computeKey: string, offset: number): readonly LogEntry[] | undefined {
    const entries = this.#tails.get(computeKey)?.entries;
    const first = entries?.[0];
    if (entries === undefined || first === undefined || offset < first.offset) return undefined;
    return entries.slice(offset - first.offset);
  }

  /** Seq after the newest entry kept; undefined when none is. */
  nextSeq(computeKey: string): number | undefined {
    const last = this.#tails.get(computeKey)?.entries.at(-1);
    return last === undefined ? undefined : last.seq + seqsTaken(last.record);
  }

  /** Calls the listener after each append to one of the keys, until the returned function is called. */
  listen(keys: readonly string[], listener: () => void): () => void {
    for (const key of keys) {
      const known = this.#listeners.get(key);
      if (known === undefined) this.#listeners.set(key, new Set([listener]));
      else known.add(listener);
    }
    return () => {
      for (const key of keys) {
        const known = this.#listeners.get(key);
        known?.delete(listener);
        if (known?.size === 0) this.#listeners.delete(key);
      }
    };
  }

  #keep(entry: LogEntry): void {
    const tail = this.#tails.get(entry.computeKey) ?? { entries: [] };
    const last = tail.entries.at(-1);
    // Another process appended in between: what is kept would have a gap.
    if (last !== undefined && entry.offset !== last.offset + 1) tail.entries = [];
    tail.entries.push(entry);
    if (tail.entries.length > 2 * tailEntriesMax)
      tail.entries = tail.entries.slice(-tailEntriesMax);
    this.#tails.delete(entry.computeKey);
    this.#tails.set(entry.computeKey, tail);
    const oldest = this.#tails.keys().next();
    if (this.#tails.size > tailKeysMax && oldest.done !== true) this.#tails.delete(oldest.value);
  }
}
