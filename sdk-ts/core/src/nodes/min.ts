import { BlockExtremeKernel } from "./block-extreme.ts";
import type { WindowParams } from "./block-sums.ts";
import type { KernelSpec } from "./kernel.ts";

/** Lowest value of the last `window` rows. TA-Lib MIN. NaN until the window is full or while it holds a NaN. */
export const min: KernelSpec<WindowParams> = {
  name: "min",
  outputs: ["f64"],
  lookback: (p) => p.window - 1,
  warmup: (p) => p.window,
  create: (p) => new BlockExtremeKernel(p.window, -1),
};
