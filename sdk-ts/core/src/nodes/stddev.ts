import { BlockMomentsKernel } from "./block-moments.ts";
import type { KernelSpec } from "./kernel.ts";

/** Parameters of {@link stddev}. */
export interface StddevParams {
  /** Rows in the window, 2..10000. */
  readonly window: number;
  /** Delta degrees of freedom: 0 = population (TA-Lib), 1 = sample. */
  readonly ddof: 0 | 1;
}

/**
 * Standard deviation `√(Σ(x − mean)² / (n − ddof))` over `window` rows, in the unit of the input.
 * With `ddof` 0 it is TA-Lib STDDEV. NaN until the window is full or while it holds a NaN.
 */
export const stddev: KernelSpec<StddevParams> = {
  name: "stddev",
  outputs: ["f64"],
  lookback: (p) => p.window - 1,
  warmup: (p) => p.window,
  create: (p) => new BlockMomentsKernel(p.window, p.window - p.ddof),
};
