import type { KernelSpec } from "./kernel.ts";
import { LagKernel, type LagParams } from "./lag-kernel.ts";

class LogReturnKernel extends LagKernel {
  run(from: number, to: number): void {
    const x = this.input;
    const out = this.output;
    const lag = this.lag;
    for (let i = from; i < to; i++) {
      const before = x[i - lag]!;
      const now = x[i]!;
      out[i] = before > 0 && now > 0 ? Math.log(now / before) : Number.NaN;
    }
  }
}

/** Log return over `lag` rows: `ln(x[t] / x[t−lag])`, dimensionless. NaN unless both values are positive. */
export const logReturn: KernelSpec<LagParams> = {
  name: "log_return",
  outputs: ["f64"],
  lookback: (p) => p.lag,
  warmup: (p) => p.lag + 1,
  create: (p) => new LogReturnKernel(p.lag),
};
