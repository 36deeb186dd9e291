/** Closes kept per instrument, to size targets that were decided some bars ago. */
const closesMax = 512;

/** The closes of the last bars by instrument, as the journal has them. */
export class Market {
  readonly #closes = new Map<string, { readonly bucket: number; readonly close: number }[]>();
  readonly #rows = new Map<string, { row: number; bucket: number }>();

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
  last(instrument: string): { readonly bucket: number; readonly close: number } | undefined {
    return this.#closes.get(instrument)?.at(-1);
  }

  /** Last row of a source and the end of its bucket. */
  edge(source: string): { readonly row: number; readonly bucket: number } | undefined {
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
