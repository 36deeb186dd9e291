/** What execution needs to know about an instrument. Quantities are in lots; money is in the quote currency. */
export interface InstrumentSpec {
  readonly symbol: string;
  /** Units of the instrument per lot, decimal string above 0. */
  readonly lotSize: string;
  /** Smallest price step, in the quote currency. @default 0 (no step) */
  readonly tick?: number;
  /** Change in the value of one unit when the price moves by 1. @default 1 */
  readonly multiplier?: number;
}

/** An instrument with its numbers checked and its defaults filled in. */
export interface CompiledInstrument {
  readonly symbol: string;
  readonly lotSize: string;
  readonly tick: number;
  readonly multiplier: number;
  /** Value of one lot at price 1: `lot size × multiplier`. */
  readonly lotUnit: number;
}

/** @throws {RangeError} when a lot size, tick or multiplier is not a usable number. */
export function compileInstrument(spec: InstrumentSpec): CompiledInstrument {
  const lot = Number(spec.lotSize);
  const multiplier = spec.multiplier ?? 1;
  const tick = spec.tick ?? 0;
  if (!(lot > 0) || !Number.isFinite(lot)) {
    throw new RangeError(`${spec.symbol}: lot size must be above 0, not ${spec.lotSize}`);
  }
  if (!(multiplier > 0) || !Number.isFinite(multiplier)) {
    throw new RangeError(`${spec.symbol}: multiplier must be above 0, not ${multiplier}`);
  }
  if (!(tick >= 0) || !Number.isFinite(tick)) {
    throw new RangeError(`${spec.symbol}: tick must not be negative, not ${tick}`);
  }
  return {
    symbol: spec.symbol,
    lotSize: spec.lotSize,
    tick,
    multiplier,
    lotUnit: lot * multiplier,
  };
}
