import { checkOptions } from "../strategy/option-keys.ts";
import { type BarsOptions, type BuiltBars, barsKeys, barsOfColumns, checkCount } from "./bars.ts";

/** Options of {@link randomWalkBars}. */
export interface RandomWalkBarsOptions extends BarsOptions {
  /** The same seed gives the same bars, on every machine; a whole number. @default 1 */
  readonly seed?: number | undefined;
  /** Mean return per bar, 0.01 = 1 %. @default 0 */
  readonly drift?: number | undefined;
  /** Standard deviation of the returns, per bar and not annualised. @default 0.01 */
  readonly volatility?: number | undefined;
}

/**
 * Seeded bars of a random walk: close(t) = close(t − 1) × (1 + drift + volatility × z), z approximately normal within
 * ±6. A bar opens at the previous close; its high and low reach up to half a volatility beyond open and close; its
 * volume is 1,000..1,999.
 *
 * Only sums, products and rounding are used, so that every machine makes the same numbers.
 *
 * @param options number of bars, seed, drift and volatility
 * @throws {RangeError} for a seed that is not a whole number, or a drift and volatility that could take the price to 0.
 */
export function randomWalkBars(options: RandomWalkBarsOptions): BuiltBars {
  checkOptions("randomWalkBars", options, {
    ...barsKeys,
    seed: true,
    drift: true,
    volatility: true,
  });
  const { count, price = 100, seed = 1, drift = 0, volatility = 0.01, ...times } = options;
  const rows = checkCount(count);
  if (!Number.isSafeInteger(seed)) throw new RangeError(`seed must be a whole number, not ${seed}`);
  if (!(price > 0 && Number.isFinite(price))) {
    throw new RangeError(`price must be above 0, not ${price}`);
  }
  const isSafe = volatility >= 0 && 1 + drift - 6 * volatility > 0 && Number.isFinite(drift);
  if (!isSafe) {
    throw new RangeError(`drift ${drift} and volatility ${volatility} could take the price to 0`);
  }
  const chance = makeChance(seed);
  const make = () => new Float64Array(rows);
  const [open, high, low, close, volume] = [make(), make(), make(), make(), make()];
  for (let row = 0; row < rows; row++) {
    const before = row === 0 ? price : close[row - 1]!;
    const after = row === 0 ? price : before * (1 + drift + volatility * bell(chance));
    open[row] = before;
    close[row] = after;
    high[row] = Math.max(before, after) * (1 + 0.5 * volatility * chance());
    low[row] = Math.min(before, after) * (1 - 0.5 * volatility * chance());
    volume[row] = 1_000 + Math.floor(chance() * 1_000);
  }
  return barsOfColumns(new Map(Object.entries({ open, high, low, close, volume })), times);
}

/** Makes a generator of numbers in [0, 1) from a seed (mulberry32). */
function makeChance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** An approximately normal number, mean 0, deviation 1, within ±6: the sum of twelve uniform ones. */
function bell(chance: () => number): number {
  let sum = -6;
  for (let k = 0; k < 12; k++) sum += chance();
  return sum;
}
