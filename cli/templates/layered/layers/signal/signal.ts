import { ema, ProcessingNode, type StrategyNode } from "@qmtl/sdk";

/** `distance ÷ scale`, held within −1…1. NaN stays NaN. */
export function scaled(distance: number, scale: number): number {
  return Math.max(-1, Math.min(1, distance / scale));
}

/** How far the price stands above its EMA(10); 3 % or more is 1. */
export function signalOf(price: StrategyNode): StrategyNode {
  return new ProcessingNode({
    name: "signal",
    inputs: { price, average: ema(price, 10, { name: "ema10" }) },
    period: 1,
    params: { scale: 0.03 },
    compute: (windows, params) =>
      scaled(windows.price.latest() / windows.average.latest() - 1, params.scale),
  });
}
