import type { CompiledInstrument } from "./instrument-spec.ts";
import { isBelowNotional } from "./pretrade.ts";
import type { BookTarget } from "./router-state.ts";
import { targetLots } from "./sizing.ts";

/** Share of a capital that lots are worth at a mark, signed; NaN if the capital is not above 0. */
export function heldWeight(lots: number, lotUnit: number, mark: number, capital: number): number {
  return capital > 0 ? (lots * lotUnit * mark) / capital : Number.NaN;
}

/**
 * Whether a target is to be sized again because the weight that is held has strayed from it by more than its drift. It
 * is not if that would change nothing, or by less than its least notional.
 *
 * @param expectedLots lots held and still to come from working orders
 * @param mark close of the bucket at whose end this is asked
 * @param capital capital of the strategy at the same moment
 */
export function hasStrayed(
  { value, drift = 0, notionalMin = 0 }: BookTarget,
  expectedLots: number,
  instrument: CompiledInstrument,
  mark: number,
  capital: number,
): boolean {
  if (drift === 0 || !(mark > 0)) return false;
  const { lotUnit } = instrument;
  const stray = heldWeight(expectedLots, lotUnit, mark, capital) - value;
  if (!(Math.abs(stray) > drift)) return false;
  const lots = targetLots(value, capital, mark, lotUnit);
  if (lots === expectedLots) return false;
  return lots === 0 || !isBelowNotional(lots - expectedLots, instrument, mark, notionalMin);
}
