import { type Column, type KernelPorts, numbers } from "./kernel.ts";

/** The newest value of each port by its name, as an author's function sees them. */
export type PortView<Port extends string = string> = Readonly<Record<Port, number>>;

/**
 * Reads the newest value of each port of a node onto its own rows. An input on a coarser clock gives the value of its
 * last closed bucket.
 */
export class PortValues {
  /** One object for all rows. Its fields read an array, since fields written by a computed name are slower. */
  readonly view: PortView;
  readonly #values: Float64Array;
  #columns: readonly Float64Array[] = [];
  #maps: readonly (Int32Array | null)[] = [];
  #showsNan: readonly boolean[] = [];

  constructor(ports: readonly string[]) {
    this.#values = new Float64Array(ports.length).fill(Number.NaN);
    this.view = Object.freeze(numberView(ports, this.#values));
  }

  /** @param inputs one column for each port */
  bind(inputs: readonly Column[], ports: KernelPorts): void {
    this.#columns = inputs.map((_, k) => numbers(inputs, k));
    this.#maps = inputs.map((_, k) => ports.rowOf(k));
    this.#showsNan = inputs.map((_, k) => ports.showsNan(k));
  }

  /** Shows the node's local row `i`; false if a port has no value there that must not be shown. */
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

/** An object with a field for each name that reads the array at that name's position. */
function numberView(names: readonly string[], values: Float64Array): PortView {
  const view = {};
  names.forEach((name, k) => {
    Object.defineProperty(view, name, { get: () => values[k]!, enumerable: true });
  });
  return view;
}
