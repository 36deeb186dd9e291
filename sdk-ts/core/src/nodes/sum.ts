import { BlockSumKernel, type WindowParams } from "./block-sums.ts";
import type { KernelSpec } from "./kernel.ts";

/** Rolling sum over `window` rows, in the unit of the input. TA-Lib SUM. NaN as {@link BlockSumKernel}. */
export const sum: KernelSpec<WindowParams> = {
  name: "sum",
  outputs: ["f64"],
  lookback: (p) => p.window - 1,
  warmup: (p) => p.window,
  create: (p) => new BlockSumKernel(p.window, 1),
};
