import type { QmtlConfig } from "../../config/index.ts";
import { StrategyRunError } from "../strategy-loading/strategy-run-error.ts";

/** Where an instrument's funding is stated: an entry of `sources`, and the column of the rates. */
export type InstrumentFunding = NonNullable<QmtlConfig["instruments"][string]["funding"]>;

/**
 * The rates of an instrument's funding, one for each row of its source.
 *
 * @throws {StrategyRunError} `COLUMN_UNKNOWN` naming the key, for a column that the source does not have
 */
export function fundingColumn(
  symbol: string,
  { column }: InstrumentFunding,
  rows: { column(name: string): Float64Array },
): Float64Array {
  try {
    return rows.column(column);
  } catch (failure) {
    if (!(failure instanceof StrategyRunError)) throw failure;
    const message = `instruments.${symbol}.funding.column: ${failure.message}`;
    throw new StrategyRunError(failure.reason, message, { cause: failure });
  }
}
