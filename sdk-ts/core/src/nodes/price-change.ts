import type { KernelSpec } from "./kernel.ts";
import { LagKernel, type LagParams } from "./lag-kernel.ts";

class PriceChangeKernel extends LagKernel {
  run(from: number, to: number): void {
    const x = this.input;
    const out = this.output;
    const lag = this.lag;
    for (let i = from; i < to; i++) out[i] = x[i]! - x[i - lag]!;
  }
}

/** Change over `lag` rows: `x[t] − x[t−lag]`, in the unit of the input. TA-Lib MOM. */
export const priceChange: KernelSpec<LagParams> = {
  name: "price_change",
  outputs: ["f64"],
  lookback: (p) => p.lag,
  warmup: (p) => p.lag + 1,
  create: (p) => new PriceChangeKernel(p.lag),
};
