import type { KernelSpec } from "./kernel.ts";
import { LagKernel, type LagParams } from "./lag-kernel.ts";

class RateOfChangeKernel extends LagKernel {
  run(from: number, to: number): void {
    const x = this.input;
    const out = this.output;
    const lag = this.lag;
    for (let i = from; i < to; i++) {
      const before = x[i - lag]!;
      out[i] = before === 0 ? x[i]! * 0 : (x[i]! - before) / before;
    }
  }
}

/**
 * Relative change over `lag` rows: `(x[t] − x[t−lag]) / x[t−lag]`, a ratio. TA-Lib ROCP; like it, 0 where the earlier
 * value is 0. With lag 1 it is the simple return.
 */
export const rateOfChange: KernelSpec<LagParams> = {
  name: "rate_of_change",
  outputs: ["f64"],
  lookback: (p) => p.lag,
  warmup: (p) => p.lag + 1,
  create: (p) => new RateOfChangeKernel(p.lag),
};
