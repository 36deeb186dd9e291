/** Instruments that take their mark from a feed, by the feed's name in `sources:`. */
export type MarkedInstruments = ReadonlyMap<string, readonly string[]>;

/** As `instruments.*.mark_source` says. */
export function markedInstrumentsOf(config: {
  readonly instruments: Readonly<Record<string, { readonly mark_source: string }>>;
}): MarkedInstruments {
  const marked = new Map<string, string[]>();
  for (const [symbol, { mark_source: source }] of Object.entries(config.instruments)) {
    marked.set(source, [...(marked.get(source) ?? []), symbol]);
  }
  return marked;
}
