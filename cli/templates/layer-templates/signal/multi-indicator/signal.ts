import { ema, ProcessingNode, rsi, type StrategyNode } from "@qmtl/sdk";

/** `distance ÷ scale`, held within −1…1. NaN stays NaN. */
export function scaled(distance: number, scale: number): number {
  return Math.max(-1, Math.min(1, distance / scale));
}

/** Lead of EMA(5) over EMA(20), where 3 % or more is 1; halved while RSI(14) is overbought or oversold. */
export function signalOf(price: StrategyNode): StrategyNode {
  return new ProcessingNode({
    name: "signal",
    inputs: {
      fast: ema(price, 5, { name: "ema5" }),
      slow: ema(price, 20, { name: "ema20" }),
      strength: rsi(price, 14, { name: "rsi14" }),
    },
    period: 1,
    params: { scale: 0.03, overbought: 75, oversold: 25 },
    compute: (windows, params) => {
      const lead = scaled(windows.fast.latest() / windows.slow.latest() - 1, params.scale);
      const strength = windows.strength.latest();
      const isStretched = strength > params.overbought || strength < params.oversold;
      return isStretched ? lead / 2 : lead;
    },
  });
}
