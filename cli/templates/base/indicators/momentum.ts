import { ProcessingNode, type StrategyNode } from "@qmtl/sdk";

/** Relative change from `before` to `now`; 0.01 = 1 %. NaN unless `before` is above 0. */
export function relativeChange(now: number, before: number): number {
  return before > 0 ? now / before - 1 : Number.NaN;
}

/**
 * Momentum of a price: its relative change over `bars` bars.
 *
 * No value (NaN) for the first `bars` rows.
 */
export function momentum(price: StrategyNode, bars: number): ProcessingNode<"price"> {
  return new ProcessingNode({
    name: "momentum_signal",
    inputs: { price },
    period: bars + 1,
    params: { bars },
    compute: (windows, params) =>
      relativeChange(windows.price.latest(), windows.price.latest(params.bars)),
  });
}
