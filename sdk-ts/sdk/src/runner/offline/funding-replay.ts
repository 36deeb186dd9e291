import type { FundingRate, OfflineAccount } from "@qmtl/core/execution";
import { fundingColumn } from "../source-files/funding-column.ts";
import type { SourceRows } from "../source-files/source-rows.ts";
import type { MarketInstrument } from "./market.ts";

/** The rates of one source, row by row. */
export interface FundingRows {
  readonly source: string;
  /** Ends of its rows, milliseconds; each is the time at which its rates are charged. */
  readonly endMs: Float64Array;
  /** Rates of each instrument that is funded by it; `length` = rows, NaN where a rate is missing. */
  readonly rates: ReadonlyMap<string, Float64Array>;
}

/**
 * The funding of instruments, in the order of the names of its sources.
 *
 * @param feeds rows of every source of funding, by name
 * @throws {StrategyRunError} `COLUMN_UNKNOWN` for a column that a source does not have
 */
export function fundingRowsOf(
  instruments: readonly MarketInstrument[],
  feeds: ReadonlyMap<string, SourceRows>,
): FundingRows[] {
  const sources = new Set(instruments.flatMap(({ funding }) => funding?.source ?? []));
  return [...sources].sort().map((source) => {
    const feed = feeds.get(source)!;
    const rates = instruments.flatMap(({ traded: { symbol }, funding }) =>
      funding?.source === source ? [[symbol, fundingColumn(symbol, funding, feed)] as const] : [],
    );
    return { source, endMs: feed.table.bucketEndMs, rates: new Map(rates) };
  });
}

/** Charges funding at the ends of its rows, those of several sources that end together in the order of their names. */
export class FundingReplay {
  readonly #feeds: readonly FundingRows[];
  /** First row of each source that was not charged. */
  readonly #next: number[];
  #nextEndMs = Number.POSITIVE_INFINITY;

  constructor(feeds: readonly FundingRows[]) {
    this.#feeds = feeds;
    this.#next = feeds.map(() => 0);
    this.#findNext();
  }

  /** End of the next row; ∞ after the last. */
  get nextEndMs(): number {
    return this.#nextEndMs;
  }

  /** Charges the rows that end at or before a time: those before the first bar as well, when nothing is held. */
  play(account: OfflineAccount, timeMs: number): void {
    while (this.#nextEndMs <= timeMs) {
      const nowMs = this.#nextEndMs;
      for (const [at, { endMs, rates }] of this.#feeds.entries()) {
        const row = this.#next[at]!;
        if (endMs[row] !== nowMs) continue;
        account.fund(Array.from(rates, ([instrument, own]) => rateOf(instrument, own[row])));
        this.#next[at] = row + 1;
      }
      this.#findNext();
    }
  }

  #findNext(): void {
    this.#nextEndMs = Math.min(
      ...this.#feeds.map(({ endMs }, at) => endMs[this.#next[at]!] ?? Number.POSITIVE_INFINITY),
    );
  }
}

function rateOf(instrument: string, rate = Number.NaN): FundingRate {
  return { instrument, rate };
}
