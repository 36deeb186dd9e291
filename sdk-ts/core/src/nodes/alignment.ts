import { type Column, type KernelPorts, StatelessKernel } from "./kernel.ts";

/** Writes the value of an input of another clock onto the reader's own rows, through the clock map. */
export class AlignKernel extends StatelessKernel {
  #input: Column = [];
  #output: Column = [];
  #map: Int32Array = new Int32Array(0);

  bind(inputs: readonly Column[], outputs: readonly Column[], ports: KernelPorts): void {
    this.#input = inputs[0]!;
    this.#output = outputs[0]!;
    this.#map = ports.rowOf(0)!;
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
