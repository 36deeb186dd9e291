import { type Column, numbers } from "./kernel.ts";

/** What an author's function writes its outputs to, by their names. */
export type OutputRecord = Record<string, number>;

/** Accessors of an output. They are the same function objects for all records, as in `port-values.ts`. */
interface OutputAccessor {
  readonly get: (this: OutputFields) => number;
  readonly set: (this: OutputFields, value: unknown) => void;
}

/** Takes numbers under the names of the outputs, and nothing else. */
class OutputFields {
  static readonly #accessors: OutputAccessor[] = [];
  readonly #names: readonly string[];
  readonly #values: Float64Array;

  private constructor(names: readonly string[], values: Float64Array) {
    this.#names = names;
    this.#values = values;
  }

  static of(names: readonly string[], values: Float64Array): OutputRecord {
    const fields = new OutputFields(names, values);
    names.forEach((name, k) => {
      OutputFields.#accessors[k] ??= {
        get() {
          return this.#values[k]!;
        },
        set(value) {
          if (typeof value !== "number") throw notNumber(this.#names[k]!, value);
          this.#values[k] = value;
        },
      };
      Object.defineProperty(fields, name, { ...OutputFields.#accessors[k], enumerable: true });
    });
    return Object.seal(fields) as OutputFields & OutputRecord;
  }
}

/** Outputs of an author's function at one row: one object for all rows. */
export class OutputValues {
  /** What the function writes to. */
  readonly record: OutputRecord;
  readonly #values: Float64Array;
  #columns: readonly Float64Array[] = [];

  constructor(names: readonly string[]) {
    this.#values = new Float64Array(names.length);
    this.record = OutputFields.of(names, this.#values);
  }

  bind(outputs: readonly Column[]): void {
    this.#columns = outputs.map((_, k) => numbers(outputs, k));
  }

  /** Begins a row: no output has a value yet. */
  clear(): void {
    this.#values.fill(Number.NaN);
  }

  /** Writes what there is to local row `i`. */
  write(i: number): void {
    const columns = this.#columns;
    const values = this.#values;
    for (let k = 0; k < columns.length; k++) columns[k]![i] = values[k]!;
  }
}

function notNumber(name: string, value: unknown): TypeError {
  const what = value === null ? "null" : typeof value;
  return new TypeError(`output "${name}" was given ${what}; it takes a number, NaN for no value`);
}
