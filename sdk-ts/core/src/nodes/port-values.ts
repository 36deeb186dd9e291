import { type Column, type KernelPorts, numbers } from "./kernel.ts";

/** The newest value of each port by its name, as an author's function sees them. */
export type PortView<Port extends string = string> = Readonly<Record<Port, number>>;

/**
 * An object with a field for each name that reads the number at that name's position. The getters are the same function
 * objects for all views: with closures of its own, each view but the first of some names would be a slow object.
 */
class NumberView {
  static readonly #getters: ((this: NumberView) => number)[] = [];
  readonly #values: Float64Array;

  private constructor(values: Float64Array) {
    this.#values = values;
  }

  static of(names: readonly string[], values: Float64Array): PortView {
    const view = new NumberView(values);
    names.forEach((name, k) => {
      NumberView.#getters[k] ??= function () {
        return this.#values[k]!;
      };
      Object.defineProperty(view, name, { get: NumberView.#getters[k], enumerable: true });
    });
    return Object.freeze(view) as NumberView & PortView;
  }
}

/**
 * Reads the newest value of each port of a node onto its own rows. An input on a coarser clock gives the value of its
 * last closed bucket.
 */
export class PortValues {
  /** One object for all rows; its fields are those of the row that is shown. */
  readonly view: PortView;
  readonly #values: Float64Array;
  #columns: readonly Float64Array[] = [];
  #maps: readonly (Int32Array | null)[] = [];
  #showsNan: readonly boolean[] = [];

  constructor(names: readonly string[]) {
    this.#values = new Float64Array(names.length).fill(Number.NaN);
    this.view = NumberView.of(names, this.#values);
  }

  /** @param inputs one column for each port */
  bind(inputs: readonly Column[], ports: KernelPorts): void {
    this.#columns = inputs.map((_, k) => numbers(inputs, k));
    this.#maps = inputs.map((_, k) => ports.rowOf(k));
    this.#showsNan = inputs.map((_, k) => ports.showsNan(k));
  }

  /**
   * To be called before local rows `[from, to)` are run.
   *
   * @returns true in the usual case: every port has a value at each of these rows, on the node's own clock. Then
   * {@link show} is enough, otherwise {@link read} is needed
   */
  begin(from: number, to: number): boolean {
    if (to <= from + 1) return false; // one row is looked at as it is read
    for (let k = 0; k < this.#columns.length; k++) {
      if (this.#maps[k] !== null) return false;
      if (!this.#showsNan[k] && hasNan(this.#columns[k]!, from, to)) return false;
    }
    return true;
  }

  /** Shows local row `i`. */
  show(i: number): void {
    const columns = this.#columns;
    const values = this.#values;
    for (let k = 0; k < columns.length; k++) values[k] = columns[k]![i]!;
  }

  /** Shows local row `i`; false if a port has no value there that must not be shown. */
  read(i: number): boolean {
    const columns = this.#columns;
    const values = this.#values;
    let isWhole = true;
    for (let k = 0; k < columns.length; k++) {
      const map = this.#maps[k]!;
      const value = columns[k]![map === null ? i : map[i]!]!;
      values[k] = value;
      if (Number.isNaN(value) && !this.#showsNan[k]!) isWhole = false;
    }
    return isWhole;
  }
}

function hasNan(column: Float64Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (Number.isNaN(column[i]!)) return true;
  return false;
}
