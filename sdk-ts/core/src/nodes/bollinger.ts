import { BlockMomentsKernel } from "./block-moments.ts";
import type { KernelSpec } from "./kernel.ts";

/** Parameters of {@link bollinger}. */
export interface BollingerParams {
  /** Rows in the window, 2..10000. */
  readonly window: number;
  /** Width of the bands in population standard deviations. */
  readonly multiplier: number;
}

/**
 * Bollinger bands: outputs `mid` (mean), `upper` and `lower` (mean ± multiplier · population deviation) over `window`
 * rows, in the unit of the input. TA-Lib BBANDS with SMA. NaN until the window is full or while it holds a NaN.
 */
export const bollinger: KernelSpec<BollingerParams> = {
  name: "bollinger",
  outputs: ["f64", "f64", "f64"],
  lookback: (p) => p.window - 1,
  warmup: (p) => p.window,
  create: (p) => new BlockMomentsKernel(p.window, p.window, p.multiplier),
};
