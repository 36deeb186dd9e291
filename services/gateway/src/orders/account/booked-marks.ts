/** Closes kept per instrument, to size targets that were decided some bars ago. */
const closesMax = 512;

/** Close of a bar, with the end of its bucket. */
interface MarketClose {
  readonly bucket: number;
  readonly close: number;
}

/** All of a `BookedMarks` as plain data. No field is optional, so that none is forgotten where it is stored. */
export interface MarketSnapshot {
  /** Last rows of bars. */
  readonly sources: readonly (readonly [source: string, row: number, bucket: number])[];
  /** Last rows of funding. */
  readonly funded: readonly (readonly [source: string, row: number, bucket: number])[];
  readonly closes: readonly (readonly [instrument: string, closes: readonly MarketClose[]])[];
}

/** A row of funding, as its entry in the journal has it. */
interface BookedFunding {
  readonly source: string;
  readonly row: number;
  /** End of its bucket. */
  readonly timeMs: number;
}

type BookedRow = { readonly row: number; readonly bucket: number };

/** The closes of the last bars by instrument, and the last rows by source, as the journal has them. */
export class BookedMarks {
  readonly #closes = new Map<string, MarketClose[]>();
  readonly #rows = new Map<string, BookedRow>();
  /** Last rows of funding: no slice of bars ends with them. */
  readonly #funded = new Map<string, BookedRow>();

  constructor(snapshot: MarketSnapshot = { sources: [], funded: [], closes: [] }) {
    for (const [source, row, bucket] of snapshot.sources) this.#rows.set(source, { row, bucket });
    for (const [source, row, bucket] of snapshot.funded) this.#funded.set(source, { row, bucket });
    for (const [instrument, closes] of snapshot.closes) this.#closes.set(instrument, [...closes]);
  }

  /** A copy that later changes do not affect. */
  snapshot(): MarketSnapshot {
    const rowsOf = (rows: ReadonlyMap<string, BookedRow>) =>
      Array.from(rows, ([source, { row, bucket }]) => [source, row, bucket] as const);
    return {
      sources: rowsOf(this.#rows),
      funded: rowsOf(this.#funded),
      closes: Array.from(this.#closes, ([instrument, closes]) => [instrument, [...closes]]),
    };
  }

  take(bar: {
    readonly source: string;
    readonly row: number;
    readonly bucket: number;
    readonly marks: readonly { readonly instrument: string; readonly close: number }[];
  }): void {
    const { source, row, bucket } = bar;
    this.#rows.set(source, { row, bucket });
    for (const { instrument, close } of bar.marks) {
      const closes = this.#closes.get(instrument) ?? [];
      closes.push({ bucket, close });
      if (closes.length > closesMax) closes.shift();
      this.#closes.set(instrument, closes);
    }
  }

  /**
   * Takes a row of funding. An earlier row than the last one changes nothing: a journal may have rows of funding twice,
   * of a release that did not know after a start which it had booked.
   */
  fund({ source, row, timeMs: bucket }: BookedFunding): void {
    if (row > (this.#funded.get(source)?.row ?? -1)) this.#funded.set(source, { row, bucket });
  }

  /** Close of the bar that ended last at or before a time. */
  closeAt(instrument: string, bucket: number): number | undefined {
    return this.#closes.get(instrument)?.findLast((bar) => bar.bucket <= bucket)?.close;
  }

  /** Last close with the end of its bucket. */
  lastMark(instrument: string): MarketClose | undefined {
    return this.#closes.get(instrument)?.at(-1);
  }

  /** Last row of a source and the end of its bucket. */
  lastRow(source: string): BookedRow | undefined {
    const [bar, funded] = [this.#rows.get(source), this.#funded.get(source)];
    return (funded?.row ?? -1) > (bar?.row ?? -1) ? funded : bar;
  }

  /** Latest end of a bar of any source; −∞ before the first. */
  get lastEndMs(): number {
    return Math.max(...[...this.#rows.values()].map(({ bucket }) => bucket));
  }

  /** Latest end of a row of any source, of bars or of funding; −∞ before the first. */
  get lastRowMs(): number {
    const funded = [...this.#funded.values()].map(({ bucket }) => bucket);
    return Math.max(this.lastEndMs, ...funded);
  }

  sources(): ReadonlySet<string> {
    return new Set([...this.#rows.keys(), ...this.#funded.keys()]);
  }
}
