import { type FoldState, StateLayout } from "./fold-state.ts";
import { type Column, type Kernel, type KernelPorts, type KernelState, numbers } from "./kernel.ts";
import { PortValues, type PortView } from "./port-values.ts";

/** Parameters of {@link userFold}. */
export interface UserFoldParams {
  /** Names of the inputs, in order. */
  readonly ports: readonly string[];
  /** State before the first row; it is not changed. */
  readonly initial: Readonly<FoldState>;
  /** Fields of the state that are the outputs; none: there is one output, which the step returns. */
  readonly outputs: readonly string[];
  /** Rows after which earlier ones do not matter; 1 if they always do, as of any node with such a state. */
  readonly warmup: number;
  /** Closes over the author's step and what it is given. Called once, when the kernel is made. */
  readonly makeCall: (state: FoldState, values: PortView) => () => unknown;
}

class UserFoldKernel implements Kernel {
  readonly #layout: StateLayout;
  readonly #state: FoldState;
  readonly #values: PortValues;
  readonly #call: () => unknown;
  readonly #names: readonly string[];
  #outputs: readonly Float64Array[] = [];
  #row = -1;

  constructor({ ports, initial, outputs, makeCall }: UserFoldParams) {
    this.#layout = new StateLayout(initial);
    this.#state = this.#layout.create();
    this.#values = new PortValues(ports);
    this.#call = makeCall(this.#state, this.#values.view);
    this.#names = outputs;
  }

  get callRow(): number {
    return this.#row;
  }

  bind(inputs: readonly Column[], outputs: readonly Column[], ports: KernelPorts): void {
    this.#values.bind(inputs, ports);
    this.#outputs = outputs.map((_, k) => numbers(outputs, k));
  }

  run(from: number, to: number, _base: number): void {
    const values = this.#values;
    const isWhole = values.begin(from, to);
    const returns = this.#names.length === 0;
    let i = from;
    try {
      for (; i < to; i++) {
        if (isWhole) values.show(i);
        else if (!values.read(i)) {
          this.#clear(i);
          continue;
        }
        if (returns) this.#stepValue(i);
        else this.#stepFields(i);
      }
      this.#layout.check(this.#state);
    } catch (cause) {
      this.#row = Math.min(i, to - 1);
      throw this.#layout.explained(cause);
    }
  }

  #clear(i: number): void {
    const outputs = this.#outputs;
    for (let k = 0; k < outputs.length; k++) outputs[k]![i] = Number.NaN;
  }

  /** Runs a row of a fold whose output is what its step returns. */
  #stepValue(i: number): void {
    const value = this.#call();
    if (typeof value === "number") this.#outputs[0]![i] = value;
    else if (value === null) this.#outputs[0]![i] = Number.NaN;
    else throw notValue(value);
  }

  /** Runs a row of a fold whose outputs are fields of its state. */
  #stepFields(i: number): void {
    const names = this.#names;
    const outputs = this.#outputs;
    const state = this.#state;
    const value = this.#call();
    if (typeof value === "object" && value !== null) throw notValue(value);
    for (let k = 0; k < names.length; k++) outputs[k]![i] = state[names[k]!] as number;
  }

  save(): KernelState {
    return this.#layout.save(this.#state);
  }

  load(saved: KernelState): void {
    this.#layout.load(this.#state, saved);
  }
}

function notValue(value: unknown): TypeError {
  const what = value instanceof Promise ? "a promise" : typeof value;
  const fix = value === undefined ? ", or the node must name outputs" : "";
  return new TypeError(`step returned ${what}; it must return a number or null${fix}`);
}

/**
 * A node computed by the author's function from the newest value of each input and a state of its own, which the
 * function changes in place.
 *
 * The function is called where every input has a value, or its port shows NaN; everywhere else the outputs are NaN and
 * the state stays as it is.
 */
export const userFold = {
  lookback: (_p: UserFoldParams) => 0,
  warmup: (p: UserFoldParams) => p.warmup,
  create: (p: UserFoldParams): Kernel => new UserFoldKernel(p),
};
