import {
  type ClockMaps,
  type Column,
  type Kernel,
  type KernelState,
  numbers,
  StatelessKernel,
} from "./kernel.ts";

/** Writes the value of an input of another clock onto the reader's own rows, through the clock map. */
export class AlignKernel extends StatelessKernel {
  #input: Column = [];
  #output: Column = [];
  #map: Int32Array = new Int32Array(0);

  bind(inputs: readonly Column[], outputs: readonly Column[], clock: ClockMaps): void {
    this.#input = inputs[0]!;
    this.#output = outputs[0]!;
    this.#map = clock.rowOf(0)!;
  }

  run(from: number, to: number): void {
    const x = this.#input;
    const out = this.#output;
    const map = this.#map;
    for (let i = from; i < to; i++) out[i] = x[map[i]!];
  }
}

/** Writes the input's previous row: the edge by which feedback enters. */
export class DelayKernel extends StatelessKernel {
  #input: Column = [];
  #output: Column = [];

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#input = inputs[0]!;
    this.#output = outputs[0]!;
  }

  run(from: number, to: number): void {
    const x = this.#input;
    const out = this.#output;
    for (let i = from; i < to; i++) out[i] = x[i - 1];
  }
}

/** Passes values on and keeps the last one for rows whose bucket is missing. */
export class CarryKernel implements Kernel {
  #input: Float64Array = new Float64Array(0);
  #output: Float64Array = new Float64Array(0);
  #has = 0;
  #last = Number.NaN;

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#input = numbers(inputs, 0);
    this.#output = numbers(outputs, 0);
  }

  run(from: number, to: number, _base: number): void {
    const x = this.#input;
    const out = this.#output;
    for (let i = from; i < to; i++) out[i] = x[i]!;
    this.#last = x[to - 1]!;
    this.#has = 1;
  }

  /** Fills local row `i`, whose bucket is missing; false if there never was a value. */
  carry(i: number): boolean {
    this.#output[i] = this.#last;
    return this.#has === 1;
  }

  save(): KernelState {
    return Float64Array.of(this.#has, this.#last);
  }

  load(state: KernelState): void {
    this.#has = state[0]!;
    this.#last = state[1]!;
  }
}
