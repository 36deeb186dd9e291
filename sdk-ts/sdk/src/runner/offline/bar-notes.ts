import type { SourceRows } from "../source-files/source-rows.ts";
import type { TradedRows } from "./bar-replay.ts";

/**
 * What a reader should look at in the bars that were traded: bars that contradict themselves, prices that jump as they
 * do after a split, and holes. One sentence for each kind, with the row and the time of the first; empty if nothing is
 * odd.
 */
export function barNotes(symbol: string, range: TradedRows): string[] {
  return [...oddBarNotes(symbol, range), ...splitNote(symbol, range), ...holeNote(symbol, range)];
}

/** Row of a feed, counted from 1, with the time its bar opened: `row 5, 2024-03-04`. */
export function rowText({ table }: SourceRows, index: number): string {
  const time = new Date(table.openTimeMs[index]!).toISOString();
  return `row ${index + 1}, ${time.replace("T00:00:00.000Z", "").replace(".000Z", "Z")}`;
}

/** A kind of bar that a reader should look at, with the text of its note. */
interface OddBar {
  readonly what: string;
  readonly isOdd: (open: number, high: number, low: number, close: number) => boolean;
}

const ODD: readonly OddBar[] = [
  {
    what: "without an open: no order at the open fills there",
    isOdd: (open, _high, _low, close) => Number.isNaN(open) && !Number.isNaN(close),
  },
  {
    what: "without a close: the previous mark is kept",
    isOdd: (open, _high, _low, close) => Number.isNaN(close) && !Number.isNaN(open),
  },
  {
    what: "without an open and a close: the previous mark is kept, and no order at the open fills there",
    isOdd: (open, _high, _low, close) => Number.isNaN(open) && Number.isNaN(close),
  },
  {
    what: "with an open or a close of 0 or less: no position is opened there, exits fill at any price, and returns across it mean nothing",
    isOdd: (open, _high, _low, close) => open <= 0 || close <= 0,
  },
  {
    what: "with a high below or a low above its open or close",
    isOdd: (open, high, low, close) => high < Math.max(open, close) || low > Math.min(open, close),
  },
];

function oddBarNotes(symbol: string, { feed, first, end }: TradedRows): string[] {
  const names = ["open", "high", "low", "close"];
  const [open, high, low, close] = names.map((name) => feed.column(name));
  return ODD.flatMap(({ what, isOdd }) => {
    let count = 0;
    let at = -1;
    for (let i = first; i < end; i++) {
      if (!isOdd(open![i]!, high![i]!, low![i]!, close![i]!)) continue;
      if (count++ === 0) at = i;
    }
    if (count === 0) return [];
    const bars = count === 1 ? "1 bar" : `${count} bars`;
    return [`${bars} of ${symbol} ${what}; the first is ${rowText(feed, at)}.`];
  });
}

/** Largest whole ratio that is taken for a split: beyond it, every large jump is near some whole ratio. */
const splitRatioMax = 20;

/** How far an open may be from a whole ratio to the previous close: what a price moves overnight. */
const splitTolerance = 0.03;

/** Note that prices jump between two bars by a whole ratio, as they do where a split was not taken out of them. */
function splitNote(symbol: string, { feed, first, end }: TradedRows): string[] {
  const open = feed.column("open");
  const close = feed.column("close");
  let count = 0;
  let at = -1;
  for (let i = first + 1; i < end; i++) {
    if (wholeRatio(open[i]!, close[i - 1]!) === 0) continue;
    if (count++ === 0) at = i;
  }
  if (count === 0) return [];
  const [from, to] = [close[at - 1]!, open[at]!];
  const ratio = wholeRatio(to, from);
  const split = to < from ? `${ratio} for 1` : `1 for ${ratio}`;
  const where = `${count === 1 ? "" : "the first "}at ${rowText(feed, at)}`;
  const times = count === 1 ? "once" : `${count} times`;
  return [
    `The price of ${symbol} jumps by a whole ratio between two bars ${times}, ${where}, from ${from} to ${to}: if that is a split of ${split}, adjust the prices for it, since it counts as a gain or a loss.`,
  ];
}

/** Whole ratio, 2 or more, between two prices, whichever is the larger; 0 if they are not near one. */
function wholeRatio(a: number, b: number): number {
  if (!(a > 0 && b > 0)) return 0;
  const exact = Math.max(a, b) / Math.min(a, b);
  const ratio = Math.round(exact);
  const isNear = Math.abs(exact / ratio - 1) <= splitTolerance;
  return ratio >= 2 && ratio <= splitRatioMax && isNear ? ratio : 0;
}

const yearMs = 365.2425 * 86_400_000;

/** A market that is open at least this share of the time has no hours, days or holidays off. */
const roundTheClock = 0.95;

/** Longest time that a market with sessions is shut, with a holiday before and after a weekend. */
const shutMsMax = 7 * 86_400_000;

/** Share of the bars that must be missing before a note says so. */
const missingShareMin = 0.01;

/**
 * Note that bars are missing. How many there should be is told by `periods_per_year`, of a continuous schedule by the
 * interval; of a market with sessions a gap counts only beyond {@link shutMsMax}. A sparse source has no holes: its bars
 * come when they come.
 */
function holeNote(symbol: string, { feed, first, end }: TradedRows): string[] {
  if (feed.isSparse) return [];
  const { openTimeMs } = feed.table;
  const isContinuous = feed.schedule === "continuous";
  const share = isContinuous ? 1 : (feed.periodsPerYear * feed.intervalMs) / yearMs;
  const allowedMs = share >= roundTheClock ? feed.intervalMs : Math.max(shutMsMax, feed.intervalMs);
  const perMs = Math.min(1, share) / feed.intervalMs;
  let [missing, largest, at] = [0, 0, -1];
  for (let i = first + 1; i < end; i++) {
    const gapMs = openTimeMs[i]! - openTimeMs[i - 1]!;
    if (gapMs <= allowedMs) continue;
    const lost = Math.round(gapMs * perMs) - 1;
    missing += lost;
    if (lost <= largest) continue;
    largest = lost;
    at = i - 1;
  }
  const whole = end - first + missing;
  if (missing < whole * missingShareMin) return [];
  const about = share >= roundTheClock ? "" : "about ";
  const percent = `${((100 * missing) / whole).toFixed(0)} %`;
  const until = rowText(feed, at + 1);
  return [
    `Of ${symbol} ${about}${missing} of ${whole} bars are missing (${percent}), ${about}${largest} of them in one hole between ${rowText(feed, at)}, and ${until}.`,
  ];
}
