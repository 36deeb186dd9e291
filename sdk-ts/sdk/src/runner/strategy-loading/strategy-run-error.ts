import { basename } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * Why a strategy cannot be run.
 *
 * - `STRATEGY_IMPORT_FAILED`: its file does not exist, does not parse, or threw when it was imported.
 * - `STRATEGY_NOT_EXPORTED`: the file exports no strategy class, or none of the requested name; or what was to be run
 *   is not a strategy.
 * - `STRATEGY_AMBIGUOUS`: the file exports several and no name was given.
 * - `STRATEGY_SETUP_FAILED`: its constructor or `setup` threw something that is not a refusal of a declaration.
 * - `DEPENDENCY_CONFLICT`: it extends the `Strategy` of another copy of this package.
 * - `MODULE_UNKNOWN`: a node has a function, but the file in which the strategy is written is not known.
 * - `SOURCE_UNKNOWN`, `COLUMN_UNKNOWN`, `INTERVAL_MISMATCH`: a stream does not match `sources:` of the configuration.
 * - `TARGET_MISSING`: it declares no target node, so there is nothing to trade.
 * - `TARGET_AMBIGUOUS`: it declares two target nodes for one instrument.
 * - `INSTRUMENT_UNKNOWN`: the target's instrument is not in the configuration.
 * - `INSTRUMENTS_MIXED`: no single account lists all its instruments, or they are quoted in several currencies.
 * - `CASH_AMBIGUOUS`: its node sets start with different cash.
 * - `ACCOUNT_AMBIGUOUS`: several accounts list all its instruments, and none of them was named.
 * - `ACCOUNT_UNKNOWN`: the account that was named is not in the configuration.
 * - `ACCOUNT_INVALID`: the money rules of the run contradict each other.
 * - `RANGE_EMPTY`: no bar of any traded feed lies between `from` and `until`.
 * - `STRATEGY_NAME_TAKEN`: two strategies of a worker have one name.
 * - `WORKER_SIZE`: a worker is given no strategy, or more strategies or targets than it may have.
 */
export type StrategyRunReason =
  | "STRATEGY_IMPORT_FAILED"
  | "STRATEGY_NOT_EXPORTED"
  | "STRATEGY_AMBIGUOUS"
  | "STRATEGY_SETUP_FAILED"
  | "DEPENDENCY_CONFLICT"
  | "MODULE_UNKNOWN"
  | "SOURCE_UNKNOWN"
  | "COLUMN_UNKNOWN"
  | "INTERVAL_MISMATCH"
  | "TARGET_MISSING"
  | "TARGET_AMBIGUOUS"
  | "INSTRUMENT_UNKNOWN"
  | "INSTRUMENTS_MIXED"
  | "CASH_AMBIGUOUS"
  | "ACCOUNT_AMBIGUOUS"
  | "ACCOUNT_UNKNOWN"
  | "ACCOUNT_INVALID"
  | "RANGE_EMPTY"
  | "STRATEGY_NAME_TAKEN"
  | "WORKER_SIZE";

/** Thrown for a strategy that is refused before a bar is computed. The message says what to change. */
export class StrategyRunError extends Error {
  override readonly name = "StrategyRunError";
  /** Stable, for programs. */
  readonly reason: StrategyRunReason;

  constructor(reason: StrategyRunReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/**
 * Where in a strategy's file an error came from, for messages: `strategy.ts:12`; without a frame of the file in its
 * stack `strategy.ts`.
 */
export function placeIn(file: string, error: unknown): string {
  return lineIn(file, error) ?? basename(file);
}

/** Like {@link placeIn}, but undefined without a frame of the file. */
export function lineIn(file: string, error: unknown): string | undefined {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  for (const name of [pathToFileURL(file).href, file]) {
    const at = stack.indexOf(`${name}:`);
    const line = at < 0 ? undefined : /^\d+/.exec(stack.slice(at + name.length + 1))?.[0];
    if (line !== undefined) return `${basename(file)}:${line}`;
  }
  return undefined;
}
