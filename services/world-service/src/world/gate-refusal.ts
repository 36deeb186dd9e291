import { QmtlError, type ReasonName } from "@qmtl/sdk/rpc";
import type { ApplyRefusal, GateRow } from "../apply/index.ts";

const ERRORS = {
  BUSY: ["CONFLICT", "another change of the gate is being committed"],
  APPLY_IN_PROGRESS: ["APPLY_IN_PROGRESS", "an apply is in progress"],
  APPLY_NOT_IN_FLIGHT: ["CONFLICT", "the run is no longer in progress"],
  RUN_ID_REUSED: ["RUN_ID_REUSED", "this run id was used with other content"],
  WORLD_HELD: ["WORLD_HELD", "the world is held"],
  HOLD_NOT_FOUND: ["CONFLICT", "the world has no such hold"],
  FREEZE_NOT_IN_FORCE: ["GATE_SHUT", "the freeze is not in force yet: the gate is CLOSING"],
  TIMERS_INVALID: ["TIMERS_INVALID", "the timers violate a rule"],
} as const satisfies Record<ApplyRefusal, readonly [ReasonName, string]>;

/** The error for a refusal, with the state of the gate. */
export function refusalError(refusal: ApplyRefusal, row: GateRow): QmtlError {
  const [reason, message] = ERRORS[refusal];
  const holds = row.holds.length > 0 ? ` (${row.holds.join(", ")})` : "";
  const metadata = { run_id: row.runId ?? "", gate: row.gate, holds: row.holds.join(",") };
  return new QmtlError(reason, `${message}${refusal === "WORLD_HELD" ? holds : ""}`, { metadata });
}
