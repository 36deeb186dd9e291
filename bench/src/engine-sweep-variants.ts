import type { SweepVariant } from "@qmtl/core/dataflow";
import { crossVariant } from "./engine-workloads.ts";

const FEE = 0.0002;
const FAST = Array.from({ length: 10 }, (_, k) => 5 + 2 * k);
const SLOW = Array.from({ length: 20 }, (_, k) => 30 + 6 * k);

/** Size of the grid: ten fast windows times twenty slow ones over thirty averages. */
export const SWEEP_VARIANTS: number = FAST.length * SLOW.length;

/** Variant `index` of the grid. Imported by the workers of the sweep too. */
export function sweepVariant(index: number): SweepVariant {
  return crossVariant(FAST[Math.floor(index / SLOW.length)]!, SLOW[index % SLOW.length]!, FEE);
}
