/** How much of the equity positions are worth at each mark; all of one length. NaN where the equity is 0 or less. */
export interface OfflineExposure {
  /** Values of all positions without their signs ÷ equity. */
  readonly gross: Float64Array;
  /** Values of all positions, negative while short, ÷ equity. */
  readonly net: Float64Array;
  /** Largest value of one position without its sign ÷ equity. */
  readonly largestWeight: Float64Array;
}

/** Equity and exposure at each mark of an account, in columns that grow. */
export class MarkTable {
  #equity: Float64Array;
  #gross: Float64Array;
  #net: Float64Array;
  #largestWeight: Float64Array;
  #length = 0;
  #forgotten = 0;

  /** @param rowsExpected marks for which there is room at first */
  constructor(rowsExpected: number) {
    this.#equity = new Float64Array(rowsExpected);
    this.#gross = new Float64Array(rowsExpected);
    this.#net = new Float64Array(rowsExpected);
    this.#largestWeight = new Float64Array(rowsExpected);
  }

  /** Number of marks taken, forgotten ones counted. */
  get taken(): number {
    return this.#forgotten + this.#length;
  }

  /** Takes a mark: equity, and the values of positions without signs, with signs, and of the largest. */
  add(equity: number, gross: number, net: number, largest: number): void {
    if (this.#length === this.#equity.length) {
      this.#grow();
    }
    const row = this.#length++;
    const whole = equity > 0 ? equity : Number.NaN;
    this.#equity[row] = equity;
    this.#gross[row] = gross / whole;
    this.#net[row] = net / whole;
    this.#largestWeight[row] = largest / whole;
  }

  forget(): void {
    this.#forgotten += this.#length;
    this.#length = 0;
  }

  /** A view: it is stale once more marks make the column grow. */
  equity(): Float64Array {
    return this.#equity.subarray(0, this.#length);
  }

  /** Views, as that of `equity`. */
  exposure(): OfflineExposure {
    const length = this.#length;
    return {
      gross: this.#gross.subarray(0, length),
      net: this.#net.subarray(0, length),
      largestWeight: this.#largestWeight.subarray(0, length),
    };
  }

  #grow(): void {
    const length = Math.max(1024, this.#equity.length * 2);
    this.#equity = grownTo(length, this.#equity);
    this.#gross = grownTo(length, this.#gross);
    this.#net = grownTo(length, this.#net);
    this.#largestWeight = grownTo(length, this.#largestWeight);
  }
}

function grownTo(length: number, values: Float64Array): Float64Array {
  const grown = new Float64Array(length);
  grown.set(values);
  return grown;
}
