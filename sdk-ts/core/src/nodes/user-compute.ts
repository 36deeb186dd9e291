import type { Window } from "../cache/window.ts";
import {
  type Column,
  type Kernel,
  type KernelPorts,
  type KernelSpec,
  numbers,
  StatelessKernel,
} from "./kernel.ts";
import { type OutputRecord, OutputValues } from "./output-values.ts";
import { PortWindows } from "./port-windows.ts";

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

/** Likewise of a function with several outputs, which it writes to `out`. */
export type MakeOutputsCall = (windows: readonly Window[], out: OutputRecord) => () => void;

/** Parameters of {@link userCompute}. */
export interface UserComputeParams {
  /** Rows in each window. */
  readonly period: number;
  /** Closes over the author's function and its windows. */
  readonly makeCall: MakeCall;
}

/** Parameters of {@link userOutputs}. */
export interface UserOutputsParams {
  /** Rows in each window. */
  readonly period: number;
  /** Names of the outputs, in order. */
  readonly outputs: readonly string[];
  /** Closes over the author's function, its windows and what it writes to. */
  readonly makeCall: MakeOutputsCall;
}

class UserComputeKernel extends StatelessKernel {
  readonly #windows: PortWindows;
  readonly #makeCall: MakeCall;
  #call: () => number | null = () => null;
  #output: Float64Array = new Float64Array(0);
  #row = -1;

  constructor({ period, makeCall }: UserComputeParams) {
    super();
    this.#windows = new PortWindows(period);
    this.#makeCall = makeCall;
  }

  /** Local row of the call that failed: names the bar when the author's function throws. */
  get callRow(): number {
    return this.#row;
  }

  bind(inputs: readonly Column[], outputs: readonly Column[], ports: KernelPorts): void {
    this.#output = numbers(outputs, 0);
    this.#call = this.#makeCall(this.#windows.bind(inputs, ports));
  }

  run(from: number, to: number, _base: number): void {
    const windows = this.#windows;
    const out = this.#output;
    const call = this.#call;
    const isWhole = windows.begin(from, to);
    let i = from;
    try {
      for (; isWhole && i < to; i++) {
        windows.show(i);
        const value = call();
        out[i] = value === null ? Number.NaN : value;
      }
      for (; i < to; i++) {
        const value = windows.move(i) ? call() : null;
        out[i] = value === null ? Number.NaN : value;
      }
    } catch (cause) {
      this.#row = i;
      throw cause;
    }
  }
}

class UserOutputsKernel extends StatelessKernel {
  readonly #windows: PortWindows;
  readonly #outputs: OutputValues;
  readonly #makeCall: MakeOutputsCall;
  #call: () => void = () => {};
  #row = -1;

  constructor({ period, outputs, makeCall }: UserOutputsParams) {
    super();
    this.#windows = new PortWindows(period);
    this.#outputs = new OutputValues(outputs);
    this.#makeCall = makeCall;
  }

  get callRow(): number {
    return this.#row;
  }

  bind(inputs: readonly Column[], outputs: readonly Column[], ports: KernelPorts): void {
    this.#outputs.bind(outputs);
    this.#call = this.#makeCall(this.#windows.bind(inputs, ports), this.#outputs.record);
  }

  run(from: number, to: number, _base: number): void {
    const windows = this.#windows;
    const outputs = this.#outputs;
    const call = this.#call;
    const isWhole = windows.begin(from, to);
    let i = from;
    try {
      for (; i < to; i++) {
        outputs.clear();
        if (isWhole) windows.show(i);
        if (isWhole || windows.move(i)) call();
        outputs.write(i);
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

/** {@link userCompute} of a function with several outputs: all are NaN before each call, and it writes those it has. */
export const userOutputs = {
  lookback: (p: UserOutputsParams) => p.period - 1,
  warmup: (p: UserOutputsParams) => p.period,
  create: (p: UserOutputsParams): Kernel => new UserOutputsKernel(p),
};
