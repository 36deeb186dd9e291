/** How far the weight that was held was from its target when it was furthest. Weights are fractions of the equity. */
export interface StrayRecord {
  readonly target: number;
  readonly held: number;
  /** Index of the mark at which it was found. */
  readonly mark: number;
}

/** Keeps the largest stray of each instrument of an account. */
export class StrayTracker {
  readonly #strays: Float64Array;
  readonly #held: Float64Array;
  readonly #targets: Float64Array;
  readonly #marks: Float64Array;

  /** @param instruments number of instruments */
  constructor(instruments: number) {
    this.#strays = new Float64Array(instruments).fill(-1);
    this.#held = new Float64Array(instruments);
    this.#targets = new Float64Array(instruments);
    this.#marks = new Float64Array(instruments);
  }

  /** Takes the weight held of an instrument at a mark; NaN is passed over. */
  note(at: number, target: number, held: number, mark: number): void {
    const stray = Math.abs(held - target);
    if (!(stray > this.#strays[at]!)) return;
    this.#strays[at] = stray;
    this.#held[at] = held;
    this.#targets[at] = target;
    this.#marks[at] = mark;
  }

  /** Undefined if nothing was noted. */
  largest(at: number): StrayRecord | undefined {
    if (this.#strays[at]! < 0) return undefined;
    return { target: this.#targets[at]!, held: this.#held[at]!, mark: this.#marks[at]! };
  }
}
