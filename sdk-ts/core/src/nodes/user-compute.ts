import { ColumnWindow, type Window } from "../cache/window.ts";
import {
  type Column,
  type KernelPorts,
  type KernelSpec,
  numbers,
  StatelessKernel,
} from "./kernel.ts";

/** A value a node parameter may have: plain JSON. */
export type ParamValue =
  | string
  | number
  | boolean
  | null
  | readonly ParamValue[]
  | { readonly [name: string]: ParamValue };

/** Parameters of a node by name. */
export type NodeParams = Readonly<Record<string, ParamValue>>;

/** Windows of a node by port. */
export type Windows<Port extends string = string> = Readonly<Record<Port, Window>>;

/** Builds what a compute function receives from its windows, in port order. Called once, at bind. */
export type MakeCall = (windows: readonly Window[]) => () => number | null;

/** Parameters of {@link userCompute}. */
export interface UserComputeParams {
  /** Number of inputs. */
  readonly inputs: number;
  /** Rows in each window. */
  readonly period: number;
  /** Closes over the author's function and its windows. */
  readonly makeCall: MakeCall;
}

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

  /** After a gap: rows up to `row` that have a value, at most a window of them. */
  #rowsWithValue(row: number): number {
    const values = this.#values;
    let count = 0;
    while (count < this.#period && count <= row && !Number.isNaN(values[row - count]!)) count++;
    return count;
  }
}

class UserComputeKernel extends StatelessKernel {
  readonly #period: number;
  readonly #inputs: number;
  readonly #makeCall: MakeCall;
  #call: () => number | null = () => null;
  #windows: PortWindow[] = [];
  #ports: KernelPorts | undefined;
  #bases: Float64Array = new Float64Array(0); // absolute row of local row 0, per port
  #output: Float64Array = new Float64Array(0);
  #row = -1;

  constructor(params: UserComputeParams) {
    super();
    this.#period = params.period;
    this.#inputs = params.inputs;
    this.#makeCall = params.makeCall;
  }

  /** Local row of the call that failed: names the bar when the author's function throws. */
  get callRow(): number {
    return this.#row;
  }

  bind(inputs: readonly Column[], outputs: readonly Column[], ports: KernelPorts): void {
    this.#windows = Array.from({ length: this.#inputs }, (_, k) => {
      const values = numbers(inputs, k);
      return new PortWindow(values, this.#period, ports.rowOf(k), ports.showsNan(k));
    });
    this.#ports = ports;
    this.#bases = new Float64Array(this.#inputs);
    this.#output = numbers(outputs, 0);
    this.#call = this.#makeCall(this.#windows.map(({ view }) => view));
  }

  run(from: number, to: number, _base: number): void {
    const windows = this.#windows;
    const bases = this.#bases;
    const out = this.#output;
    const call = this.#call;
    for (let k = 0; k < bases.length; k++) bases[k] = this.#ports!.baseOf(k);
    const [only] = windows;
    let i = from;
    try {
      if (windows.length === 1 && only !== undefined) {
        const at = bases[0]!;
        for (; i < to; i++) {
          const value = only.move(i, at) ? call() : null;
          out[i] = value === null ? Number.NaN : value;
        }
        return;
      }
      for (; i < to; i++) {
        let isWhole = true;
        for (let k = 0; k < windows.length; k++) {
          if (!windows[k]!.move(i, bases[k]!)) isWhole = false;
        }
        const value = isWhole ? call() : null;
        out[i] = value === null ? Number.NaN : value;
      }
    } catch (cause) {
      this.#row = i;
      throw cause;
    }
  }
}

/**
 * A node computed by the author's function from one window of `period` rows per input.
 *
 * An input on a coarser clock shows its own last `period` closed buckets. The function is called only when every
 * window is full (no partial windows) and holds no NaN, except in a window whose port shows NaN; everywhere else the
 * output is NaN. `null` counts as NaN.
 */
export const userCompute: KernelSpec<UserComputeParams> = {
  name: "user_compute",
  outputs: ["f64"],
  lookback: (p) => p.period - 1,
  warmup: (p) => p.period,
  create: (p) => new UserComputeKernel(p),
};
