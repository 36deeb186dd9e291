import type { StatedClaim } from "../account/order-gate.ts";
import type { StatedTarget } from "./take-targets.ts";

/** A row of a feed that a runner has ended. */
export interface EndedRow {
  readonly source: string;
  readonly row: number;
}

/** A SetTargets call. */
export interface TargetsCall {
  readonly world: string;
  readonly claim: StatedClaim;
  /** The sender holds a lease. */
  readonly isArmed: boolean;
  readonly targets: readonly StatedTarget[];
  /** Rows that end with the call; empty for none. */
  readonly ends: readonly EndedRow[];
  readonly wanted: number;
  readonly strategies: readonly string[];
  readonly evaluations: Readonly<Record<string, number>>;
}
