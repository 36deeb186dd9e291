import type { GateRefusal } from "@qmtl/core/gate";
import type { ReasonName } from "@qmtl/sdk/rpc";
import type { StatedClaim } from "./world-gate.ts";

/** The stable reason that is reported for a refusal by the gate. */
export const reasonOfRefusal = {
  HALTED: "HALTED",
  LATE_WRITE: "GATE_SHUT",
  NO_STATE: "GATE_SHUT",
  GATE_NOT_OPEN: "GATE_SHUT",
  NO_LEASE: "LEASE_MISSING",
  LEASE_EXPIRED: "LEASE_MISSING",
  FENCE_MISMATCH: "FENCE_STALE",
  NOT_EMITTER: "NOT_EMITTER",
  NOT_ACTIVE: "NOT_ACTIVE",
  FROZEN: "GATE_SHUT",
  DRAINING: "GATE_SHUT",
  MODE_FORBIDS_ORDERS: "GATE_SHUT",
  DOMAIN_MISMATCH: "DOMAIN_MISMATCH",
} as const satisfies Record<GateRefusal, ReasonName>;

/** Why nothing that needs an open gate is taken under the lease that a claim names; undefined when it may be. */
export function refusalOfLease({ lease }: StatedClaim): ReasonName | undefined {
  if (lease === "own") return undefined;
  return lease === "none" ? "GATE_SHUT" : "LEASE_MISSING";
}
