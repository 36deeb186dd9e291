import type { OfflineAccount } from "@qmtl/core/execution";
import type { SourceRows } from "../source-files/source-rows.ts";

/** Rows `[first, end)` of a feed. */
export interface TradedRows {
  readonly feed: SourceRows;
  readonly first: number;
  readonly end: number;
}

/** Plays the bars of one feed into the instruments that the feed marks. */
export class BarReplay {
  readonly feed: SourceRows;
  /** Number of bars in all. */
  readonly bars: number;
  readonly #places: readonly number[];
  readonly #end: number;
  readonly #endsMs: Float64Array;
  readonly #open: Float64Array;
  readonly #high: Float64Array;
  readonly #low: Float64Array;
  readonly #close: Float64Array;
  #next: number;
  #nextEndMs: number;

  /** @param places indexes in the account of the instruments that the feed marks */
  constructor({ feed, first, end }: TradedRows, places: readonly number[]) {
    this.feed = feed;
    this.bars = end - first;
    this.#places = places;
    this.#next = first;
    this.#end = end;
    this.#endsMs = feed.table.bucketEndMs;
    this.#nextEndMs = first < end ? this.#endsMs[first]! : Number.POSITIVE_INFINITY;
    this.#open = feed.column("open");
    this.#high = feed.column("high");
    this.#low = feed.column("low");
    this.#close = feed.column("close");
  }

  /** End of the next bar; ∞ after the last. */
  get nextEndMs(): number {
    return this.#nextEndMs;
  }

  /** Plays the next bar. */
  play(account: OfflineAccount): void {
    const i = this.#next;
    this.skip();
    const row = this.feed.firstRow + i;
    for (let k = 0; k < this.#places.length; k++) {
      const place = this.#places[k]!;
      account.bar(place, row, this.#open[i]!, this.#high[i]!, this.#low[i]!, this.#close[i]!);
    }
  }

  /** Leaves the next bar out. */
  skip(): void {
    const i = ++this.#next;
    this.#nextEndMs = i < this.#end ? this.#endsMs[i]! : Number.POSITIVE_INFINITY;
  }

  /**
   * Absolute row of the last bar that had begun before `timeMs`: an order made at that moment fills no earlier than on
   * the next bar. A bar that opens exactly as the previous one ends has not begun. All bars that end by `timeMs` must
   * have been played.
   */
  begunRow(timeMs: number): number {
    const { openTimeMs } = this.feed.table;
    const i = this.#next;
    const isBetween = i === 0 || this.#endsMs[i - 1] !== timeMs;
    const hasBegun = isBetween && i < this.#end && openTimeMs[i]! < timeMs;
    return this.feed.firstRow + (hasBegun ? i : i - 1);
  }
}
