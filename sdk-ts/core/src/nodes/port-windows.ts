import { ColumnWindow, type Window } from "../cache/window.ts";
import { type Column, type KernelPorts, numbers } from "./kernel.ts";

/** A window of an author's function, with what tells whether it holds no value. */
class PortWindow {
  readonly view: ColumnWindow;
  readonly #values: Float64Array;
  readonly #map: Int32Array | null;
  readonly #showsNan: boolean;
  readonly #period: number;
  #seen = -2; // absolute row looked at last, on the port's clock
  #whole = 0; // rows up to it since the last NaN; derived from the column, so it is no state

  constructor(values: Float64Array, period: number, map: Int32Array | null, showsNan: boolean) {
    this.view = new ColumnWindow(values, period);
    this.#values = values;
    this.#period = period;
    this.#map = map;
    this.#showsNan = showsNan;
  }

  /** Moves the window to the node's local row `i`. */
  show(i: number): void {
    const map = this.#map;
    ColumnWindow.move(this.view, (map === null ? i : map[i]!) + 1);
  }

  /** Moves the window to the node's local row `i`; false while it holds a NaN that must not be shown. */
  move(i: number, base: number): boolean {
    const map = this.#map;
    const row = map === null ? i : map[i]!;
    ColumnWindow.move(this.view, row + 1);
    if (this.#showsNan) return true;
    const at = base + row;
    if (at === this.#seen + 1) {
      this.#whole = Number.isNaN(this.#values[row]!) ? 0 : this.#whole + 1;
    } else if (at !== this.#seen) {
      this.#whole = this.#rowsWithValue(row);
    }
    this.#seen = at;
    return this.#whole >= this.#period;
  }

  /** Every window that ends at a local row of `[from, to)` may be shown: no gap before, no NaN in those rows. */
  isWhole(from: number, to: number, base: number): boolean {
    if (this.#showsNan) return true;
    if (this.#map !== null || base + from !== this.#seen + 1) return false;
    if (this.#whole < this.#period - 1) return false;
    const values = this.#values;
    for (let i = from; i < to; i++) if (Number.isNaN(values[i]!)) return false;
    return true;
  }

  /** Goes past rows of which {@link isWhole} was true. */
  pass(from: number, to: number, base: number): void {
    this.#whole += to - from;
    this.#seen = base + to - 1;
  }

  /** After a gap: rows up to `row` that have a value, at most a window of them. */
  #rowsWithValue(row: number): number {
    const values = this.#values;
    let count = 0;
    while (count < this.#period && count <= row && !Number.isNaN(values[row - count]!)) count++;
    return count;
  }
}

/** The windows of a node, one for each input. An input on a coarser clock shows its own last closed buckets. */
export class PortWindows {
  readonly #period: number;
  #windows: readonly PortWindow[] = [];
  #ports: KernelPorts | undefined;
  #bases: Float64Array = new Float64Array(0); // absolute row of local row 0, per port

  /** @param period rows in each window */
  constructor(period: number) {
    this.#period = period;
  }

  /**
   * @param inputs one column for each window
   * @returns the windows in the order of the inputs; they are moved, never replaced
   */
  bind(inputs: readonly Column[], ports: KernelPorts): readonly Window[] {
    this.#windows = inputs.map((_, k) => {
      const values = numbers(inputs, k);
      return new PortWindow(values, this.#period, ports.rowOf(k), ports.showsNan(k));
    });
    this.#ports = ports;
    this.#bases = new Float64Array(inputs.length);
    return this.#windows.map(({ view }) => view);
  }

  /**
   * To be called before local rows `[from, to)` are run.
   *
   * @returns true in the usual case: no window of these rows holds a NaN that must not be shown, and every row is the
   * next one. Then {@link show} is enough, otherwise {@link move} is needed
   */
  begin(from: number, to: number): boolean {
    const windows = this.#windows;
    const bases = this.#bases;
    for (let k = 0; k < bases.length; k++) bases[k] = this.#ports!.baseOf(k);
    if (to <= from + 1) return false; // one row is looked at as it is shown
    for (let k = 0; k < windows.length; k++) {
      if (!windows[k]!.isWhole(from, to, bases[k]!)) return false;
    }
    for (let k = 0; k < windows.length; k++) windows[k]!.pass(from, to, bases[k]!);
    return true;
  }

  /** Moves the windows to local row `i`. */
  show(i: number): void {
    const windows = this.#windows;
    for (let k = 0; k < windows.length; k++) windows[k]!.show(i);
  }

  /** Moves the windows to local row `i`; false while one holds a NaN that must not be shown. */
  move(i: number): boolean {
    const windows = this.#windows;
    const bases = this.#bases;
    let isShown = true;
    for (let k = 0; k < windows.length; k++) {
      if (!windows[k]!.move(i, bases[k]!)) isShown = false;
    }
    return isShown;
  }
}
