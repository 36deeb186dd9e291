import { oddBarFacts, paceFact } from "./offline-bar-facts.ts";
import type { OfflineFeed } from "./offline-feed.ts";
import type { TradedRows } from "./offline-lane.ts";
import type { MarketInstrument, OfflineMarket } from "./offline-market.ts";

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** What a reader must know of the bars traded and how they were traded, one sentence each. */
export function offlineFacts(
  market: OfflineMarket,
  rows: ReadonlyMap<string, TradedRows>,
): string[] {
  const { instruments, returnsSource } = market;
  const facts = instruments.map((one) => barsFact(one, rows.get(one.markSource)!));
  for (const { feed } of rows.values()) facts.push(...leftFact(feed));
  facts.push(...perInstrument(instruments, fillFact), ...perInstrument(instruments, costFact));
  if (rows.size > 1) {
    facts.push(
      `Returns are taken at the bucket ends of source ${returnsSource}, each instrument at its last close.`,
    );
  }
  if (instruments.length > 1) {
    const symbols = instruments.map(({ traded }) => traded.symbol).join(", ");
    facts.push(`Buy and hold buys ${symbols} once, at equal weights.`);
  }
  facts.push(...paceFact(rows.get(returnsSource)!));
  for (const { traded, markSource } of instruments) {
    facts.push(...oddBarFacts(traded.symbol, rows.get(markSource)!));
  }
  for (const { traded, markSource } of instruments) {
    const range = rows.get(markSource)!;
    const bars = range.end - range.first;
    const same = opensAtPreviousClose(range.feed, range);
    if (same * 20 < bars) continue;
    const of = instruments.length > 1 ? ` of ${traded.symbol}` : "";
    facts.push(
      `The open equals the previous close on ${same} of ${bars - 1} bars${of}: there a fill at the next open is in effect one at the deciding close.`,
    );
  }
  return facts;
}

/** Says so when the money was gone: an offline account is never closed, and what comes after is no return of anything. */
export function ruinFact(timesMs: Float64Array, equity: Float64Array): string[] {
  const at = equity.findIndex((value) => value <= 0);
  if (at < 0) return [];
  return [
    `The equity fell to 0 or below at the bar ending ${day(timesMs[at]!)}: no broker lets it come to that, and the figures mean nothing.`,
  ];
}

/** Bars of a range, without its first, whose open equals the close before. */
export function opensAtPreviousClose(
  feed: OfflineFeed,
  range: Pick<TradedRows, "first" | "end">,
): number {
  const open = feed.column("open");
  const close = feed.column("close");
  let same = 0;
  for (let i = range.first + 1; i < range.end; i++) if (open[i] === close[i - 1]) same++;
  return same;
}

/** One sentence where all instruments share it, else one an instrument. */
function perInstrument(
  instruments: readonly MarketInstrument[],
  fact: (instrument: MarketInstrument) => string,
): string[] {
  const facts = instruments.map(fact);
  if (new Set(facts).size === 1) return facts.slice(0, 1);
  return facts.map((one, at) => `${instruments[at]!.traded.symbol}: ${one}`);
}

function barsFact({ traded }: MarketInstrument, { feed, first, end }: TradedRows): string {
  const { openTimeMs } = feed.table;
  const from = day(openTimeMs[first]!);
  const to = day(openTimeMs[end - 1]!);
  const before = first === 0 ? "" : `; ${first} rows before them warmed the nodes`;
  return `${end - first} bars of ${traded.symbol}, ${from} to ${to}${before}.`;
}

function leftFact({ name, rowsLeft }: OfflineFeed): string[] {
  if (rowsLeft === 0) return [];
  const rows = rowsLeft === 1 ? "1 row" : `${rowsLeft} rows`;
  return [
    `The ${rows} of source ${name} from its "start" on are for a world and were left out: give "until" to take them in.`,
  ];
}

function fillFact({ traded }: MarketInstrument): string {
  return traded.sameBarClose === true
    ? "Orders fill at the close they were decided on: a comparison, not something that could be traded."
    : "Orders are decided on a close and fill at the next open.";
}

function costFact({ traded }: MarketInstrument): string {
  if (traded.noCosts === true) return "No costs: fees and spread were left out.";
  const { feeBps, halfSpreadBps } = traded.costs;
  return `Costs: ${feeBps} bp fee and ${halfSpreadBps} bp half spread on each side.`;
}
