import { BlockExtremeKernel } from "./block-extreme.ts";
import type { WindowParams } from "./block-sums.ts";
import type { KernelSpec } from "./kernel.ts";

/** Highest value of the last `window` rows. TA-Lib MAX. NaN until the window is full or while it holds a NaN. */
export const max: KernelSpec<WindowParams> = {
  name: "max",
  outputs: ["f64"],
  lookback: (p) => p.window - 1,
  warmup: (p) => p.window,
  create: (p) => new BlockExtremeKernel(p.window, 1),
};
