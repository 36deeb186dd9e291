import { BlockSumKernel, type WindowParams } from "./block-sums.ts";
import type { KernelSpec } from "./kernel.ts";

/**
 * Simple moving average: `(x[t−n+1] + … + x[t]) / n`, in the unit of the input. TA-Lib SMA.
 * NaN until `window` rows are there and whenever the window holds a NaN.
 */
export const sma: KernelSpec<WindowParams> = {
  name: "sma",
  outputs: ["f64"],
  lookback: (p) => p.window - 1,
  warmup: (p) => p.window,
  create: (p) => new BlockSumKernel(p.window, p.window),
};
