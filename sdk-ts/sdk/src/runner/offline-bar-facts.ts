import type { TradedRows } from "./offline-lane.ts";

const yearMs = 365.2425 * 86_400_000;
const weekMs = 7 * 86_400_000;

/** Bars below which nothing is said of how often they come. */
const BARS_MIN = 20;

/**
 * Says so when the bars come far more or less often than `periods_per_year` has it: every figure a year is off then.
 *
 * How far is "far" depends on how long was looked: the minutes of one session say little of a year's.
 */
export function paceFact({ feed, first, end }: TradedRows): string[] {
  const { openTimeMs } = feed.table;
  const bars = end - first;
  const spanMs = openTimeMs[end - 1]! - openTimeMs[first]!;
  if (bars < BARS_MIN || !(spanMs > 0)) return [];
  const perYear = (bars - 1) / (spanMs / yearMs);
  const allowed = spanMs < weekMs ? 10 : spanMs < yearMs / 2 ? 1.6 : 1.25;
  const ratio = perYear / feed.periodsPerYear;
  if (ratio <= allowed && ratio >= 1 / allowed) return [];
  const told = Number(perYear.toPrecision(3));
  return [
    `Figures a year take ${feed.periodsPerYear} bars for a year, but the bars of source ${feed.name} come about ${told} times a year: set its periods_per_year.`,
  ];
}

/** A kind of bar that a reader should look at, with what to say of it. */
interface OddBar {
  readonly what: string;
  readonly isOdd: (open: number, high: number, low: number, close: number) => boolean;
}

const ODD: readonly OddBar[] = [
  {
    what: "without an open or a close: the mark before stays, and nothing fills there",
    isOdd: (open, _high, _low, close) => Number.isNaN(open) || Number.isNaN(close),
  },
  {
    what: "with an open or a close of 0 or less: no order is sized there, and the returns over it mean nothing",
    isOdd: (open, _high, _low, close) => open <= 0 || close <= 0,
  },
  {
    what: "with a high below or a low above its open or close",
    isOdd: (open, high, low, close) => high < Math.max(open, close) || low > Math.min(open, close),
  },
];

/** What is odd about bars that were traded, one sentence a kind; nothing where all is well. */
export function oddBarFacts(symbol: string, { feed, first, end }: TradedRows): string[] {
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
    const time = new Date(feed.table.openTimeMs[at]!).toISOString().replace("T00:00:00.000Z", "");
    const bars = count === 1 ? "1 bar" : `${count} bars`;
    return [`${bars} of ${symbol} ${what}; the first is that of ${time}.`];
  });
}
