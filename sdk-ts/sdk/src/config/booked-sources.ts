import type { QmtlConfig } from "./config-schema.ts";

/** Columns of a bar: what marks an instrument, and fills its orders. */
const barColumns = ["open", "high", "low", "close"] as const;

/** What the rows of a source bring to the books of accounts. */
export interface BookedSource {
  /** Instruments that its close marks. */
  readonly marked: readonly string[];
  /** Instruments whose funding it states, each with the column of its rate. */
  readonly funded: readonly { readonly instrument: string; readonly column: string }[];
  /**
   * All columns that are booked, each once: those of a bar if it marks anything, and those of rates. A row is booked from
   * a stream that has all of them.
   */
  readonly columns: readonly string[];
}

type InstrumentSources = Pick<QmtlConfig["instruments"][string], "mark_source" | "funding">;

/** The sources that mark an instrument or state its funding, by name. */
export function bookedSources({
  instruments,
}: {
  readonly instruments: Readonly<Record<string, InstrumentSources>>;
}): ReadonlyMap<string, BookedSource> {
  const all = Object.entries(instruments);
  const names = all.flatMap(([, { mark_source, funding }]) =>
    funding === null ? [mark_source] : [mark_source, funding.source],
  );
  return new Map(
    [...new Set(names)].map((name) => {
      const marked = all.flatMap(([symbol, one]) => (one.mark_source === name ? [symbol] : []));
      const funded = all.flatMap(([instrument, { funding }]) =>
        funding?.source === name ? [{ instrument, column: funding.column }] : [],
      );
      const ofBars = marked.length === 0 ? [] : barColumns;
      const columns = [...new Set([...ofBars, ...funded.map(({ column }) => column)])];
      return [name, { marked, funded, columns }];
    }),
  );
}
