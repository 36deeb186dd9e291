import type { KernelSpec } from "./kernel.ts";
import { LagKernel, type LagParams } from "./lag-kernel.ts";

class EarlierKernel extends LagKernel {
  run(from: number, to: number): void {
    const x = this.input;
    const out = this.output;
    const lag = this.lag;
    for (let i = from; i < to; i++) out[i] = x[i - lag]!;
  }
}

/** The value `lag` rows earlier: `x[t−lag]`, in the unit of the input. NaN if that row has no value. */
export const lag: KernelSpec<LagParams> = {
  name: "lag",
  outputs: ["f64"],
  lookback: (p) => p.lag,
  warmup: (p) => p.lag + 1,
  create: (p) => new EarlierKernel(p.lag),
};
