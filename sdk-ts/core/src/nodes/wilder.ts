/** Rows after which the start of a Wilder average (α = 1/window, seeded by a mean) weighs less than 1e-9. */
export function wilderWarmup(window: number): number {
  if (window === 1) return 2;
  return window + 1 + Math.ceil(Math.log(1e-9) / Math.log(1 - 1 / window));
}
