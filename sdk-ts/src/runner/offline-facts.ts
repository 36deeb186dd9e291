import type { OfflineFeed } from "./offline-feed.ts";
import type { OfflineMarket } from "./offline-market.ts";
import type { BarRange } from "./offline-trade.ts";
import type { CompiledOfflineOptions } from "./runner-options.ts";

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** What a reader must know of the bars traded and how they were traded, one sentence each. */
export function offlineFacts(
  feed: OfflineFeed,
  range: BarRange,
  market: OfflineMarket,
  options: CompiledOfflineOptions,
): string[] {
  const { openTimeMs } = feed.table;
  const bars = range.end - range.first;
  const first = day(openTimeMs[range.first]!);
  const last = day(openTimeMs[range.end - 1]!);
  const facts = [
    `${bars} bars of ${market.instrument.symbol}, ${first} to ${last}; ${range.first} rows before them warmed the nodes.`,
    options.sameBarClose
      ? "Orders fill at the close they were decided on: a comparison, not something that could be traded."
      : "Orders are decided on a close and fill at the next open.",
    costFact(market, options),
  ];
  const same = opensAtPreviousClose(feed, range);
  if (same * 20 >= bars) {
    facts.push(
      `The open equals the previous close on ${same} of ${bars - 1} bars: there a fill at the next open is in effect one at the deciding close.`,
    );
  }
  return facts;
}

/** Bars of a range, without its first, whose open equals the close before. */
export function opensAtPreviousClose(feed: OfflineFeed, range: BarRange): number {
  const open = feed.column("open");
  const close = feed.column("close");
  let same = 0;
  for (let i = range.first + 1; i < range.end; i++) if (open[i] === close[i - 1]) same++;
  return same;
}

function costFact(market: OfflineMarket, options: CompiledOfflineOptions): string {
  if (options.noCosts) return "No costs: fees and spread were left out.";
  const { feeBps, halfSpreadBps } = market.costs;
  return `Costs: ${feeBps} bp fee and ${halfSpreadBps} bp half spread on each side.`;
}
