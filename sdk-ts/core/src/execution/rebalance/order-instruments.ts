import { instrumentKey } from "./plan-marks.ts";

/** Rules for the orders of one instrument. */
export interface OrderInstrument {
  /** The name orders carry. */
  readonly instrument: string;
  /** @default every venue */
  readonly venue?: string;
  /** Smallest step of the quantity, decimal text above 0. @default none: quantities stay as planned */
  readonly lot?: string;
  /** Value of one unit per point of price, decimal text above 0. @default "1" */
  readonly multiplier?: string;
  /** Orders worth less are left out, decimal text, in the currency of the marks. @default "0" */
  readonly notionalMin?: string;
  /** Other names a plan may use for it. @default [] */
  readonly aliases?: readonly string[];
}

/** Instruments by any of their names. */
export interface InstrumentNames {
  /** The name orders carry, and the rules; an unknown name stands for itself. */
  of(
    venue: string,
    name: string,
  ): { readonly instrument: string; readonly rule: OrderInstrument | undefined };
}

const anyVenue = "*";

/** @throws {RangeError} when two entries have one name at one venue. */
export function instrumentNames(instruments: readonly OrderInstrument[]): InstrumentNames {
  const rules = new Map<string, OrderInstrument>();
  for (const rule of instruments) {
    for (const name of new Set([rule.instrument, ...(rule.aliases ?? [])])) {
      const key = instrumentKey(rule.venue ?? anyVenue, name);
      if (rules.has(key)) throw new RangeError(`"${name}" is the name of two instruments`);
      rules.set(key, rule);
    }
  }
  return {
    of: (venue, name) => {
      const rule =
        rules.get(instrumentKey(venue, name)) ?? rules.get(instrumentKey(anyVenue, name));
      return { instrument: rule?.instrument ?? name, rule };
    },
  };
}
