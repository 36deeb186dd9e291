import { type Column, numbers } from "./kernel.ts";

/** What an author's function writes its outputs to, by their names. */
export type OutputRecord = Record<string, number>;

/** Outputs of an author's function at one row: one object for all rows, whose fields are those of the row's columns. */
export class OutputValues {
  /** Takes numbers under the names of the outputs, and nothing else. */
  readonly record: OutputRecord;
  #columns: readonly Float64Array[] = [];
  #row = 0;

  constructor(names: readonly string[]) {
    const record = {};
    names.forEach((name, k) => {
      Object.defineProperty(record, name, {
        enumerable: true,
        get: () => this.#columns[k]![this.#row]!,
        set: (value: unknown) => {
          if (typeof value !== "number") throw notNumber(name, value);
          this.#columns[k]![this.#row] = value;
        },
      });
    });
    this.record = Object.seal(record);
  }

  bind(outputs: readonly Column[]): void {
    this.#columns = outputs.map((_, k) => numbers(outputs, k));
  }

  /** Goes to local row `i`, where no output has a value yet. */
  clear(i: number): void {
    const columns = this.#columns;
    this.#row = i;
    for (let k = 0; k < columns.length; k++) columns[k]![i] = Number.NaN;
  }
}

function notNumber(name: string, value: unknown): TypeError {
  const what = value === null ? "null" : typeof value;
  return new TypeError(`output "${name}" was given ${what}; it takes a number, NaN for no value`);
}
