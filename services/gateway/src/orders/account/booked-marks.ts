/** Closes kept per instrument, to size targets that were decided some bars ago. */
const closesMax = 512;

/** Close of a bar, with the end of its bucket. */
interface MarketClose {
  readonly bucket: number;
  readonly close: number;
}

/** All of a `BookedMarks` as plain data. */
export interface MarketSnapshot {
  readonly sources: readonly (readonly [source: string, row: number, bucket: number])[];
  readonly closes: readonly (readonly [instrument: string, closes: readonly MarketClose[]])[];
}

/** The closes of the last bars by instrument, as the journal has them. */
export class BookedMarks {
  readonly #closes = new Map<string, MarketClose[]>();
  readonly #rows = new Map<string, { row: number; bucket: number }>();

  constructor(snapshot: MarketSnapshot = { sources: [], closes: [] }) {
    for (const [source, row, bucket] of snapshot.sources) this.#rows.set(source, { row, bucket });
    for (const [instrument, closes] of snapshot.closes) this.#closes.set(instrument, [...closes]);
  }

  /** A copy that later changes do not affect. */
  snapshot(): MarketSnapshot {
    return {
      sources: Array.from(this.#rows, ([source, { row, bucket }]) => [source, row, bucket]),
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

  /** Close of the bar that ended last at or before a time. */
  closeAt(instrument: string, bucket: number): number | undefined {
    return this.#closes.get(instrument)?.findLast((bar) => bar.bucket <= bucket)?.close;
  }

  /** Last close with the end of its bucket. */
  lastMark(instrument: string): MarketClose | undefined {
    return this.#closes.get(instrument)?.at(-1);
  }

  /** Last row of a source and the end of its bucket. */
  lastRow(source: string): { readonly row: number; readonly bucket: number } | undefined {
    return this.#rows.get(source);
  }

  /** Latest end of a bucket of any source; −∞ before the first. */
  get lastEndMs(): number {
    return Math.max(...[...this.#rows.values()].map(({ bucket }) => bucket));
  }

  sources(): IterableIterator<string> {
    return this.#rows.keys();
  }
}
