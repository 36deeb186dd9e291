import { ColumnWindow, type Window } from "../cache/window.ts";
import {
  type ClockMaps,
  type Column,
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

class UserComputeKernel extends StatelessKernel {
  readonly #period: number;
  readonly #inputs: number;
  readonly #makeCall: MakeCall;
  #call: () => number | null = () => null;
  #only: ColumnWindow | undefined; // the window of a node with one input, on its own clock
  #windows: ColumnWindow[] = [];
  #maps: (Int32Array | null)[] = [];
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

  bind(inputs: readonly Column[], outputs: readonly Column[], clock: ClockMaps): void {
    this.#windows = [];
    this.#maps = [];
    for (let k = 0; k < this.#inputs; k++) {
      this.#windows.push(new ColumnWindow(numbers(inputs, k), this.#period));
      this.#maps.push(clock.rowOf(k));
    }
    this.#only = this.#inputs === 1 && this.#maps[0] === null ? this.#windows[0] : undefined;
    this.#output = numbers(outputs, 0);
    this.#call = this.#makeCall(this.#windows);
  }

  run(from: number, to: number, _base: number): void {
    const only = this.#only;
    const out = this.#output;
    const call = this.#call;
    let i = from;
    try {
      for (; i < to; i++) {
        if (only !== undefined) ColumnWindow.move(only, i + 1);
        else this.#moveAll(i);
        const value = call();
        out[i] = value === null ? Number.NaN : value;
      }
    } catch (cause) {
      this.#row = i;
      throw cause;
    }
  }

  #moveAll(i: number): void {
    const windows = this.#windows;
    for (let k = 0; k < windows.length; k++) {
      const map = this.#maps[k]!;
      ColumnWindow.move(windows[k]!, (map === null ? i : map[i]!) + 1);
    }
  }
}

/**
 * A node computed by the author's function from one window of `period` rows per input.
 *
 * An input on a coarser clock shows its own last `period` closed buckets. The function is called only when every
 * window is full (no partial windows); before that the output is NaN. `null` counts as NaN.
 */
export const userCompute: KernelSpec<UserComputeParams> = {
  name: "user_compute",
  outputs: ["f64"],
  lookback: (p) => p.period - 1,
  warmup: (p) => p.period,
  create: (p) => new UserComputeKernel(p),
};
