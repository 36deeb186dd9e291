/**
 * A map that forgets its oldest entry once it holds `sizeMax`. Setting a known key keeps its age.
 *
 * Ages are kept in a ring beside the map: asking a map for its first key walks over every deleted one.
 */
export class BoundedLog<V> {
  readonly #entries = new Map<string, V>();
  readonly #ring: string[] = [];
  #oldest = 0;
  readonly #sizeMax: number;

  /** @throws {RangeError} when sizeMax is not an integer of at least 1. */
  constructor(sizeMax: number) {
    if (!Number.isInteger(sizeMax) || sizeMax < 1) {
      throw new RangeError(`sizeMax must be an integer of at least 1, not ${sizeMax}`);
    }
    this.#sizeMax = sizeMax;
  }

  get(key: string): V | undefined {
    return this.#entries.get(key);
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  set(key: string, value: V): void {
    const sizeBefore = this.#entries.size;
    this.#entries.set(key, value);
    if (this.#entries.size === sizeBefore) {
      return;
    }
    if (this.#ring.length < this.#sizeMax) {
      this.#ring.push(key);
    } else {
      this.#entries.delete(this.#ring[this.#oldest]!);
      this.#ring[this.#oldest] = key;
      this.#oldest = (this.#oldest + 1) % this.#sizeMax;
    }
  }

  entries(): [string, V][] {
    return [...this.#entries];
  }

  keys(): string[] {
    return [...this.#entries.keys()];
  }

  values(): V[] {
    return [...this.#entries.values()];
  }
}
