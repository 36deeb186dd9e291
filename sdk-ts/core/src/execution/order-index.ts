/** Up to this many, a walk over a list is quicker than a map, which hashes every new id. */
const FEW = 8;

/** Records by id, in the order in which they were added. A few of them, the usual case, are looked up without hashing. */
export class OrderIndex<V extends { readonly id: string }> {
  readonly #few: V[] = [];
  /** All of them, once they were more than a few, until none is left. */
  #many: Map<string, V> | undefined;

  get(id: string): V | undefined {
    if (this.#many !== undefined) return this.#many.get(id);
    const few = this.#few;
    for (let at = 0; at < few.length; at++) if (few[at]!.id === id) return few[at];
    return undefined;
  }

  has(id: string): boolean {
    return this.get(id) !== undefined;
  }

  /** Adds a record, or replaces the one of its id in its place. */
  set(record: V): void {
    const few = this.#few;
    if (this.#many === undefined) {
      const at = this.#placeOf(record.id);
      if (at >= 0) few[at] = record;
      else if (few.length < FEW) few.push(record);
      else this.#many = new Map(few.map((one) => [one.id, one]));
      if (this.#many === undefined) return;
      few.length = 0;
    }
    this.#many.set(record.id, record);
  }

  /** @returns whether there was one */
  delete(id: string): boolean {
    if (this.#many !== undefined) {
      const had = this.#many.delete(id);
      if (this.#many.size === 0) this.#many = undefined;
      return had;
    }
    const at = this.#placeOf(id);
    if (at < 0) return false;
    if (at === this.#few.length - 1) this.#few.pop();
    else this.#few.splice(at, 1);
    return true;
  }

  /** Those of now, whatever changes after. */
  list(): readonly V[] {
    return this.#many === undefined ? this.#few.slice() : [...this.#many.values()];
  }

  /** To be read before the next change. */
  values(): Iterable<V> {
    return this.#many === undefined ? this.#few : this.#many.values();
  }

  #placeOf(id: string): number {
    const few = this.#few;
    for (let at = 0; at < few.length; at++) if (few[at]!.id === id) return at;
    return -1;
  }
}
