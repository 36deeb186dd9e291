/** How much of the equity positions are worth at each mark; all of one length. NaN where the equity is 0 or less. */
export interface OfflineExposure {
  /** Values of all positions without their signs ÷ equity. */
  readonly gross: Float64Array;
  /** Values of all positions, negative while short, ÷ equity. */
  readonly net: Float64Array;
  /** Largest value of one position without its sign ÷ equity. */
  readonly largestWeight: Float64Array;
}

/**
 * Equity and exposure at each mark of an account, in columns that grow. Values are kept as they are at the mark and
 * divided by the equity when they are read.
 */
export class MarkTable {
  #equity: Float64Array;
  #net: Float64Array;
  /** Undefined with one instrument, whose value is all there is. */
  #sizes: PositionSizes | undefined;
  #length = 0;
  #forgotten = 0;

  /**
   * @param rowsExpected marks for which there is room at first
   * @param instruments number of instruments of the account
   */
  constructor(rowsExpected: number, instruments: number) {
    this.#equity = new Float64Array(rowsExpected);
    this.#net = new Float64Array(rowsExpected);
    this.#sizes =
      instruments === 1
        ? undefined
        : { gross: new Float64Array(rowsExpected), largest: new Float64Array(rowsExpected) };
  }

  /** Number of marks taken, forgotten ones counted. */
  get taken(): number {
    return this.#forgotten + this.#length;
  }

  /** Takes a mark: equity, and the values of positions without signs, with signs, and of the largest. */
  add(equity: number, gross: number, net: number, largest: number): void {
    if (this.#length === this.#equity.length) this.#grow();
    const row = this.#length++;
    this.#equity[row] = equity;
    this.#net[row] = net;
    const sizes = this.#sizes;
    if (sizes === undefined) return;
    sizes.gross[row] = gross;
    sizes.largest[row] = largest;
  }

  forget(): void {
    this.#forgotten += this.#length;
    this.#length = 0;
  }

  /** A view: it is stale once more marks make the column grow. */
  equity(): Float64Array {
    return this.#equity.subarray(0, this.#length);
  }

  /** New columns. */
  exposure(): OfflineExposure {
    const net = this.#shares(this.#net);
    if (this.#sizes !== undefined) {
      const { gross, largest } = this.#sizes;
      return { gross: this.#shares(gross), net, largestWeight: this.#shares(largest) };
    }
    const gross = net.map(Math.abs);
    return { gross, net, largestWeight: gross.slice() };
  }

  /** Values ÷ equity at each mark. */
  #shares(values: Float64Array): Float64Array {
    const shares = new Float64Array(this.#length);
    for (let row = 0; row < shares.length; row++) {
      const equity = this.#equity[row]!;
      shares[row] = values[row]! / (equity > 0 ? equity : Number.NaN);
    }
    return shares;
  }

  #grow(): void {
    const length = Math.max(1024, this.#equity.length * 2);
    this.#equity = grownTo(length, this.#equity);
    this.#net = grownTo(length, this.#net);
    if (this.#sizes === undefined) return;
    const { gross, largest } = this.#sizes;
    this.#sizes = { gross: grownTo(length, gross), largest: grownTo(length, largest) };
  }
}

/** Values of the positions of an account with several instruments. */
interface PositionSizes {
  /** Of all without their signs. */
  readonly gross: Float64Array;
  /** Of the largest without its sign. */
  readonly largest: Float64Array;
}

function grownTo(length: number, values: Float64Array): Float64Array {
  const grown = new Float64Array(length);
  grown.set(values);
  return grown;
}
