/** Keys of sub-accounts' positions, each made once: a string that is built anew is hashed anew. */
export class PositionKeys {
  readonly #keys = new Map<string, Map<string, string>>();

  /** Carries the length of the instrument, so that no choice of names makes two alike. */
  keyOf(instrument: string, book: string): string {
    let ofInstrument = this.#keys.get(instrument);
    if (ofInstrument === undefined) {
      ofInstrument = new Map();
      this.#keys.set(instrument, ofInstrument);
    }
    let key = ofInstrument.get(book);
    if (key === undefined) {
      key = `${positionPrefix(instrument)}${book}`;
      ofInstrument.set(book, key);
    }
    return key;
  }
}

/** What all keys of an instrument begin with. */
export function positionPrefix(instrument: string): string {
  return `${instrument.length}:${instrument}`;
}
