import { ProcessingNode, type StrategyNode, type Window } from "@qmtl/sdk";

/**
 * Kaufman's efficiency ratio of a window: how straight the way from its oldest value to the newest was.
 *
 * `|last − first| ÷ Σ|step|`, in 0…1; 1 = straight, about 0 = back and forth. 0 when nothing moved; NaN when a value is
 * missing.
 */
export function efficiencyOf(window: Window): number {
  let way = 0;
  for (let i = 1; i < window.length; i++) way += Math.abs(window.at(i) - window.at(i - 1));
  return way === 0 ? 0 : Math.abs(window.latest() - window.at(0)) / way;
}

/** Efficiency ratio of a price over `bars` steps, ≥ 1. No value for the first `bars` rows. */
export function efficiencyRatio(price: StrategyNode, bars: number): ProcessingNode<"price"> {
  return new ProcessingNode({
    name: `efficiency${bars}`,
    inputs: { price },
    period: bars + 1,
    compute: (windows) => efficiencyOf(windows.price),
  });
}
