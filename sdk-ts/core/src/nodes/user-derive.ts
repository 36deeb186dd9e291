import {
  type Column,
  type KernelPorts,
  type KernelSpec,
  numbers,
  StatelessKernel,
} from "./kernel.ts";
import { PortValues, type PortView } from "./port-values.ts";

/** Parameters of {@link userDerive}. */
export interface UserDeriveParams {
  /** Names of the inputs, in order. */
  readonly ports: readonly string[];
  /** Closes over the author's function and what it is given. Called once, when the kernel is made. */
  readonly makeCall: (values: PortView) => () => number | null;
}

class UserDeriveKernel extends StatelessKernel {
  readonly #values: PortValues;
  readonly #call: () => number | null;
  #output: Float64Array = new Float64Array(0);
  #row = -1;

  constructor({ ports, makeCall }: UserDeriveParams) {
    super();
    this.#values = new PortValues(ports);
    this.#call = makeCall(this.#values.view);
  }

  get callRow(): number {
    return this.#row;
  }

  bind(inputs: readonly Column[], outputs: readonly Column[], ports: KernelPorts): void {
    this.#values.bind(inputs, ports);
    this.#output = numbers(outputs, 0);
  }

  run(from: number, to: number, _base: number): void {
    const values = this.#values;
    const call = this.#call;
    const out = this.#output;
    const isWhole = values.begin(from, to);
    let i = from;
    try {
      for (; isWhole && i < to; i++) {
        values.show(i);
        const value = call();
        out[i] = value === null ? Number.NaN : value;
      }
      for (; i < to; i++) {
        const value = values.read(i) ? call() : null;
        out[i] = value === null ? Number.NaN : value;
      }
    } catch (cause) {
      this.#row = i;
      throw cause;
    }
  }
}

/**
 * A node computed by the author's function from the newest value of each input.
 *
 * The function is called where every input has a value, or its port shows NaN; everywhere else the output is NaN.
 * `null` counts as NaN.
 */
export const userDerive: KernelSpec<UserDeriveParams> = {
  name: "user_derive",
  outputs: ["f64"],
  lookback: () => 0,
  warmup: () => 1,
  create: (p) => new UserDeriveKernel(p),
};
