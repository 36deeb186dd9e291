import type { ReturnSeries } from "./return-series.ts";

/** Total return over all marks: last equity ÷ first − 1. Undefined without samples or if it is not finite. */
export function totalReturn({ samples, growth }: ReturnSeries): number | undefined {
  return samples === 0 || !Number.isFinite(growth) ? undefined : growth - 1;
}
