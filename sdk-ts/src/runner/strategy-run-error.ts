/**
 * Why a strategy cannot be run.
 *
 * - `STRATEGY_IMPORT_FAILED`: its file threw when it was imported, or is not there.
 * - `STRATEGY_NOT_EXPORTED`: the file exports no strategy class, or none of the name asked for.
 * - `STRATEGY_AMBIGUOUS`: the file exports several and no name was given.
 * - `MODULE_UNKNOWN`: a node has a function and nobody said which file the strategy is written in.
 * - `SOURCE_UNKNOWN`, `COLUMN_UNKNOWN`, `INTERVAL_MISMATCH`: a stream does not fit `sources:` of the configuration.
 * - `TARGET_MISSING`: it declares no target position, so there is nothing to trade; `TARGET_AMBIGUOUS`: several.
 * - `INSTRUMENT_UNKNOWN`: the target's instrument is not in the configuration.
 * - `RANGE_EMPTY`: no bar lies between `from` and `until`.
 */
export type StrategyRunReason =
  | "STRATEGY_IMPORT_FAILED"
  | "STRATEGY_NOT_EXPORTED"
  | "STRATEGY_AMBIGUOUS"
  | "MODULE_UNKNOWN"
  | "SOURCE_UNKNOWN"
  | "COLUMN_UNKNOWN"
  | "INTERVAL_MISMATCH"
  | "TARGET_MISSING"
  | "TARGET_AMBIGUOUS"
  | "INSTRUMENT_UNKNOWN"
  | "RANGE_EMPTY";

/** A strategy that was refused before a bar was computed. The message says what to change. */
export class StrategyRunError extends Error {
  override readonly name = "StrategyRunError";
  readonly reason: StrategyRunReason;

  constructor(reason: StrategyRunReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
