import type { StatedClaim, StatedTarget } from "./take-targets.ts";

/** A SetTargets call. */
export interface TargetsCall {
  readonly world: string;
  readonly claim: StatedClaim;
  /** The sender holds a lease. */
  readonly isArmed: boolean;
  readonly targets: readonly StatedTarget[];
  readonly source: string;
  readonly endRow: number;
  readonly wanted: number;
  readonly strategies: readonly string[];
  readonly evaluations: Readonly<Record<string, number>>;
}
