/** Symbols of the made-up panel, one file each. */
export const panelSymbols = ["LEAD", "FOLLOW", "PAIR", "SOLO"] as const;

export type PanelSymbol = (typeof panelSymbols)[number];

/** One daily bar; prices above 0, in cents, `low` ≤ `open`, `close` ≤ `high`. */
export interface PanelBar {
  /** Day the bar opens, `YYYY-MM-DD`. */
  readonly date: string;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
}

export interface PanelOptions {
  /** The same seed gives the same bars. @default 20150101 */
  readonly seed?: number;
  /** Bars of each symbol, one per weekday. @default 1500 */
  readonly count?: number;
  /** First day; the bars begin on the first weekday from it on. @default "2015-01-01" */
  readonly from?: string;
}

/** Share of LEAD's move that FOLLOW makes one day later. */
export const lagShare = 0.2;
/** Share of yesterday's market move that repeats today, while LEAD and PAIR move together. */
export const carryShare = 0.35;
/** Days of a spell: for one spell LEAD and PAIR move together, for the next each goes its own way, and so on. */
export const spellDays = 125;

const dayMs = 86_400_000;
const driftADay = 0.0002;

/**
 * Four invented prices over the same days. ε are independent draws of mean 0 and deviation 1:
 *
 * - market: `m(t) = carry(t) · m(t−1) + 0.7 % · ε`, `carry(t)` = {@link carryShare} in spells of togetherness, else 0
 * - LEAD: `m(t) + 0.4 % · ε`
 * - FOLLOW: `lagShare · LEAD(t−1) + 0.8 % · ε`
 * - PAIR: together `0.9 · LEAD(t) + 0.3 % · ε`, else `0.9 % · ε`
 * - SOLO: `0.8 % · ε`
 *
 * Moves are from one close to the next, plus 0.02 % a day. The open is the previous close, give or take 0.1 %. Only
 * sums, products and roundings are used, so that every machine makes the same numbers.
 */
export function syntheticPanel(
  options: PanelOptions = {},
): ReadonlyMap<PanelSymbol, readonly PanelBar[]> {
  const { seed = 20_150_101, count = 1_500, from = "2015-01-01" } = options;
  const chance = makeChance(seed);
  const bars = new Map(panelSymbols.map((symbol) => [symbol, [] as PanelBar[]]));
  let market = 0;
  let leadBefore = 0;
  for (const [day, date] of weekdays(from, count).entries()) {
    const isTogether = Math.floor(day / spellDays) % 2 === 0;
    market = (isTogether ? carryShare * market : 0) + 0.007 * bell(chance);
    const lead = market + 0.004 * bell(chance);
    const follow = lagShare * leadBefore + 0.008 * bell(chance);
    const pair = isTogether ? 0.9 * lead + 0.003 * bell(chance) : 0.009 * bell(chance);
    const moves = { LEAD: lead, FOLLOW: follow, PAIR: pair, SOLO: 0.008 * bell(chance) };
    for (const [symbol, list] of bars) {
      list.push(makeBar(date, list.at(-1)?.close ?? 100, moves[symbol] + driftADay, chance));
    }
    leadBefore = lead;
  }
  return bars;
}

function makeBar(date: string, before: number, move: number, chance: () => number): PanelBar {
  const open = cents(before * (1 + 0.002 * (chance() - 0.5)));
  const close = cents(before * (1 + move));
  return {
    date,
    open,
    high: cents(Math.max(open, close) * (1 + 0.003 * chance())),
    low: cents(Math.min(open, close) * (1 - 0.003 * chance())),
    close,
  };
}

function weekdays(from: string, count: number): string[] {
  const days: string[] = [];
  for (let ms = Date.parse(`${from}T00:00:00Z`); days.length < count; ms += dayMs) {
    const day = new Date(ms);
    if (day.getUTCDay() % 6 !== 0) days.push(day.toISOString().slice(0, 10));
  }
  return days;
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

/** Approximately normal, mean 0, deviation 1, within ±6: the sum of twelve chances, less 6. */
function bell(chance: () => number): number {
  let sum = -6;
  for (let k = 0; k < 12; k++) sum += chance();
  return sum;
}

function cents(price: number): number {
  return Math.round(price * 100) / 100;
}
