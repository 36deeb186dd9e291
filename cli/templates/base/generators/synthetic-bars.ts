/** One daily bar; prices above 0, `low` ≤ `open`, `close` ≤ `high`. */
export interface Bar {
  /** Day the bar opens, `YYYY-MM-DD`. */
  readonly date: string;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
}

/** What the bars are made from. */
export interface SyntheticBarsOptions {
  /** The same seed gives the same bars. @default 7 */
  readonly seed?: number;
  /** Number of bars, one per weekday. @default 1040 */
  readonly count?: number;
  /** First day that may have a bar. @default "2018-01-01" */
  readonly from?: string;
}

const dayMs = 86_400_000;

/**
 * Seeded daily bars of an invented price that changes between rising, falling and quiet spells.
 *
 * Uses only sums, products and rounding, so that every machine makes the same numbers.
 */
export function syntheticBars(options: SyntheticBarsOptions = {}): Bar[] {
  const { seed = 7, count = 1_040, from = "2018-01-01" } = options;
  const chance = makeChance(seed);
  const bars: Bar[] = [];
  let dayStart = Date.parse(`${from}T00:00:00Z`);
  let close = 100;
  let drift = 0;
  while (bars.length < count) {
    const day = new Date(dayStart);
    dayStart += dayMs;
    if (day.getUTCDay() === 0 || day.getUTCDay() === 6) continue;
    if (chance() < 0.02) drift = (chance() - 0.45) * 0.006; // a new spell, about fifty days long
    const open = cents(close * (1 + 0.002 * bell(chance)));
    close = cents(open * (1 + drift + 0.009 * bell(chance)));
    bars.push({
      date: day.toISOString().slice(0, 10),
      open,
      high: cents(Math.max(open, close) * (1 + 0.006 * chance())),
      low: cents(Math.min(open, close) * (1 - 0.006 * chance())),
      close,
      volume: 1_000 + Math.floor(chance() * 9_000),
    });
  }
  return bars;
}

/** CSV text with a header; with `signal`, a last column of numbers in −1…1, as another system would deliver it. */
export function barsCsv(bars: readonly Bar[], options: { readonly signal?: boolean } = {}): string {
  const { signal = false } = options;
  const lines = bars.map((bar, k) => {
    const cells = [bar.date, bar.open, bar.high, bar.low, bar.close, bar.volume];
    return (signal ? [...cells, signalAt(bars, k)] : cells).join(",");
  });
  const header = `date,open,high,low,close,volume${signal ? ",signal" : ""}`;
  return `${[header, ...lines].join("\n")}\n`;
}

/** Change over the ten bars up to `k`, scaled so that ±5 % is ±1; it reads nothing after bar `k`. */
function signalAt(bars: readonly Bar[], k: number): number {
  const before = bars[k - 10]?.close ?? bars[k]!.close;
  const change = bars[k]!.close / before - 1;
  return Math.round(Math.max(-1, Math.min(1, change / 0.05)) * 1_000) / 1_000;
}

/** Numbers in 0…1 from a seed (mulberry32). */
function makeChance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Approximately normal, mean 0, standard deviation 1, within ±6: the sum of twelve chances. */
function bell(chance: () => number): number {
  let sum = -6;
  for (let k = 0; k < 12; k++) sum += chance();
  return sum;
}

function cents(price: number): number {
  return Math.round(price * 100) / 100;
}
