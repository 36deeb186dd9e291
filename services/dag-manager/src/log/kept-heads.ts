import type { HeadRow } from "./log-tables.ts";

/** Heads kept at most; the one used longest ago goes first. */
export const keptHeadsMax = 4_096;

/** A head as this process wrote or read it last, with the hold of its feed; null for no hold. */
export interface KeptHead {
  readonly head: HeadRow;
  readonly untilMs: number | null;
}

/**
 * What this process knows of the heads of keys.
 *
 * What is kept may be old: another process may have appended. So it decides nothing alone; the append that
 * is folded over it is written only where the head in the database still stands at the same offset.
 */
export class KeptHeads {
  readonly #heads = new Map<string, KeptHead>();

  /** The heads of all keys, or undefined when one of them is not known. */
  all(keys: readonly string[]): KeptHead[] | undefined {
    const found: KeptHead[] = [];
    for (const key of keys) {
      const kept = this.#heads.get(key);
      if (kept === undefined) return undefined;
      found.push(kept);
    }
    return found;
  }

  keep(kept: KeptHead): void {
    const key = kept.head.compute_key;
    this.#heads.delete(key);
    this.#heads.set(key, kept);
    const oldest = this.#heads.keys().next();
    if (this.#heads.size > keptHeadsMax && oldest.done !== true) this.#heads.delete(oldest.value);
  }

  forget(keys: readonly string[]): void {
    for (const key of keys) this.#heads.delete(key);
  }
}
