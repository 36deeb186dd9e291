/** How far the feeds of a run stand, as the gateway says; shared by all queues whose rows a feed numbers. */
export class FeedWatermarks {
  readonly #of = new Map<string, { readonly row: number; readonly timeMs: number }>();

  /** No row of a feed from `row` on ends at `timeMs` or before. */
  take(source: string, row: number, timeMs: number): void {
    const known = this.#of.get(source);
    if (known === undefined || timeMs >= known.timeMs) this.#of.set(source, { row, timeMs });
  }

  /** Time after which a row of a feed that is not in the log yet ends, milliseconds; −∞ while nothing is known of it. */
  endsAfter(source: string, row: number): number {
    const known = this.#of.get(source);
    return known !== undefined && row >= known.row ? known.timeMs : Number.NEGATIVE_INFINITY;
  }
}
