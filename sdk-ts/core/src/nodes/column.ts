import { type Column, type KernelSpec, numbers, StatelessKernel } from "./kernel.ts";

class CopyKernel extends StatelessKernel {
  #input: Float64Array = new Float64Array(0);
  #output: Float64Array = new Float64Array(0);

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#input = numbers(inputs, 0);
    this.#output = numbers(outputs, 0);
  }

  run(from: number, to: number): void {
    const x = this.#input;
    const out = this.#output;
    for (let i = from; i < to; i++) out[i] = x[i]!;
  }
}

/** One column of a node with several outputs, value by value. The graph selects the column (see `column`). */
export const column: KernelSpec<{ readonly column: string }> = {
  name: "column",
  outputs: ["f64"],
  lookback: () => 0,
  warmup: () => 1,
  create: () => new CopyKernel(),
};
