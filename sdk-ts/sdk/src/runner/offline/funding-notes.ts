import type { FundingRows } from "./funding-replay.ts";

/**
 * Notes the rows of funding within a run that have no rate, and the sources of funding without any row there: nothing is
 * charged for these.
 *
 * @param timesMs ends of the bars, increasing
 */
export function fundingNotes(funding: readonly FundingRows[], timesMs: Float64Array): string[] {
  const [fromMs, untilMs] = [timesMs[0]!, timesMs.at(-1)!];
  return funding.flatMap(({ source, endMs, rates }) =>
    Array.from(rates).flatMap(([symbol, own]) => {
      const within = own.filter((_, row) => endMs[row]! >= fromMs && endMs[row]! <= untilMs);
      const missing = within.filter(Number.isNaN).length;
      const nothing = `nothing was charged for holding ${symbol}`;
      if (within.length === 0) return [`No row of source ${source} ends in this run: ${nothing}.`];
      if (missing === 0) return [];
      const rows = within.length === 1 ? "1 row" : `${within.length} rows`;
      return [`${missing} of ${rows} of source ${source} have no rate: there ${nothing}.`];
    }),
  );
}
