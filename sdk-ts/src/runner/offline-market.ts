import type { InstrumentSpec, TradingCosts } from "../execution/index.ts";
import type { DeclaredTarget, IdentifiedStrategy } from "./identify-strategy.ts";
import type { CompiledOfflineOptions } from "./runner-options.ts";
import { StrategyRunError } from "./strategy-run-error.ts";

/** What is traded, at which costs, with how much money. */
export interface OfflineMarket {
  readonly target: DeclaredTarget;
  readonly instrument: InstrumentSpec;
  /** Entry of `sources:` whose bars orders fill on and whose close is the mark. */
  readonly markSource: string;
  readonly initialCash: number;
  readonly costs: TradingCosts;
  readonly currency: string;
}

/**
 * Finds the market of a strategy's one target in the configuration. Without an account that lists the instrument, fee
 * and half spread are 1 bp each.
 *
 * @throws {StrategyRunError}
 */
export function findMarket(
  identified: IdentifiedStrategy,
  options: CompiledOfflineOptions,
  nodesetCash: number | undefined,
): OfflineMarket {
  const target = onlyTarget(identified);
  const symbol = target.node.instrument;
  const { config } = options;
  const spec = config.instruments[symbol];
  if (spec === undefined) {
    const known = Object.keys(config.instruments).join(", ") || "none";
    const message = `the configuration has no instrument "${symbol}"; it has ${known}`;
    throw new StrategyRunError("INSTRUMENT_UNKNOWN", message);
  }
  const account = Object.values(config.accounts).find((one) => one.instruments.includes(symbol));
  return {
    target,
    instrument: {
      symbol,
      lotSize: spec.lot,
      tick: Number(spec.tick),
      multiplier: Number(spec.multiplier),
    },
    markSource: spec.mark_source,
    initialCash: options.initialCash ?? nodesetCash ?? Number(account?.initial_cash ?? 1_000_000),
    costs: options.costs ?? {
      feeBps: account?.fee_bps ?? 1,
      halfSpreadBps: account?.half_spread_bps ?? 1,
    },
    currency: account?.currency ?? spec.quote_currency,
  };
}

function onlyTarget({ strategy, targets }: IdentifiedStrategy): DeclaredTarget {
  const [target, ...others] = targets;
  if (target === undefined) {
    const message = `strategy "${strategy.name}" declares no target position; add a PositionTargetNode or a node set`;
    throw new StrategyRunError("TARGET_MISSING", message);
  }
  if (others.length > 0) {
    const names = targets.map(({ name }) => name).join(", ");
    const message = `strategy "${strategy.name}" declares several targets (${names}); an offline run trades one`;
    throw new StrategyRunError("TARGET_AMBIGUOUS", message);
  }
  return target;
}
