import { type Column, type Kernel, type KernelState, numbers } from "./kernel.ts";

/**
 * Stands in front of a port that does something else than `skip` where it has no value. It sees every row of its
 * clock, missing ones included, so it knows whether the port ever had a value. A row has no value if its bucket is
 * missing or its value is NaN; a missing bucket's value is NaN, so the column alone tells.
 */
export abstract class PortGuard implements Kernel {
  protected input: Float64Array = new Float64Array(0);
  protected output: Float64Array = new Float64Array(0);
  #has = 0;

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.input = numbers(inputs, 0);
    this.output = numbers(outputs, 0);
  }

  /** The port has had a value. */
  get hasBegun(): boolean {
    return this.#has === 1;
  }

  /** Runs rows whose buckets are all there. */
  run(from: number, to: number, _base: number): void {
    for (let i = from; i < to; i++) this.pass(i, true);
  }

  /**
   * Runs local row `i`.
   *
   * @param isPresent the row has a bucket
   * @returns whether the reader of the port has a bucket there
   */
  pass(i: number, isPresent: boolean): boolean {
    const value = this.input[i]!;
    if (!Number.isNaN(value)) {
      this.#has = 1;
      this.output[i] = value;
      this.took(value);
      return true;
    }
    this.output[i] = Number.NaN;
    return this.#has === 0 ? this.before(isPresent) : this.lacks(i, isPresent);
  }

  /** Passes row `i` on while the past is restored; the state is loaded afterwards. */
  copy(i: number): void {
    this.output[i] = this.input[i]!;
  }

  save(): KernelState {
    return Float64Array.of(this.#has);
  }

  load(state: KernelState): void {
    this.#has = state[0]!;
  }

  /** Whether the reader has a bucket at a row before the first value. */
  protected before(isPresent: boolean): boolean {
    return isPresent;
  }

  /** The row has a value. */
  protected took(_value: number): void {}

  /** A row without a value, after the first one; whether the reader has a bucket there. */
  protected abstract lacks(i: number, isPresent: boolean): boolean;
}

/** Shows NaN, and a bucket on every row from the first value on. */
export class NanGuard extends PortGuard {
  protected override before(): boolean {
    return false;
  }

  protected lacks(): boolean {
    return true;
  }
}

/** Puts the last value in place, for at most `rowsMax` rows in a row. */
export class CarryGuard extends PortGuard {
  readonly #rowsMax: number;
  #last = Number.NaN;
  #age = 0; // rows since the last value; counted only where there is a limit

  constructor(rowsMax: number) {
    super();
    this.#rowsMax = rowsMax;
  }

  protected override took(value: number): void {
    this.#last = value;
    this.#age = 0;
  }

  protected lacks(i: number, isPresent: boolean): boolean {
    if (this.#age >= this.#rowsMax) return isPresent;
    if (this.#rowsMax !== Number.POSITIVE_INFINITY) this.#age++;
    this.output[i] = this.#last;
    return true;
  }

  override save(): KernelState {
    return Float64Array.of(...super.save(), this.#last, this.#age);
  }

  override load(state: KernelState): void {
    super.load(state);
    this.#last = state[1]!;
    this.#age = state[2]!;
  }
}

/** Ends the run at a row without a value. */
export class FailGuard extends PortGuard {
  #row = -1;

  get callRow(): number {
    return this.#row;
  }

  protected lacks(i: number): boolean {
    this.#row = i;
    throw new MissingValueError();
  }
}

/** Thrown by a {@link FailGuard}; the engine knows the node, the row and the source. */
export class MissingValueError extends Error {}
