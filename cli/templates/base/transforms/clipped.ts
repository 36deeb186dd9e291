import { ProcessingNode, type StrategyNode } from "@qmtl/sdk";

/** `value ÷ scale`, held within −1…1. NaN stays NaN. */
export function clip(value: number, scale: number): number {
  return Math.max(-1, Math.min(1, value / scale));
}

/** A signal scaled so that `scale` becomes 1, and held within −1…1. */
export function clipped(signal: StrategyNode, scale: number): ProcessingNode<"signal"> {
  return new ProcessingNode({
    name: "clipped",
    inputs: { signal },
    period: 1,
    params: { scale },
    compute: (windows, params) => clip(windows.signal.latest(), params.scale),
  });
}
