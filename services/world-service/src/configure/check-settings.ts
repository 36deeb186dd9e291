import { type BrokenTimerRule, checkTimers, type GateTimers } from "@qmtl/core/gate";
import { type FieldViolation, QmtlError } from "@qmtl/sdk/rpc";
import type { WorldSettings } from "../store/world-rows.ts";
import { leaderMsDefault } from "../world/leadership.ts";
import { timersOf } from "../world/world-settings.ts";

/** Refuses settings that break a rule. @throws {QmtlError} INVALID_FIELD, TIMERS_INVALID */
export function checkSettings(settings: WorldSettings): void {
  const fields: FieldViolation[] = [];
  const isReplay = settings.clock === "replay";
  if (isReplay && settings.source === "") {
    fields.push({ field: "world.source", description: "a replay world needs a source" });
  }
  if (isReplay && settings.allowLive) {
    fields.push({ field: "world.allow_live", description: "a replay world cannot be live" });
  }
  if (fields.length > 0) throw new QmtlError("INVALID_FIELD", sentence(fields), { fields });
  for (const [name, isLive] of [
    ["paper_timers", false],
    ["live_timers", true],
  ] as const) {
    const broken = checkTimers(timersOf(settings, isLive, leaderMsDefault), { isLive });
    if (broken.length === 0) continue;
    const brokenFields = broken.map((rule) => violationOf(`world.${name}`, rule));
    throw new QmtlError("TIMERS_INVALID", sentence(brokenFields), { fields: brokenFields });
  }
}

/** Names of the timers in the contract; timers that a world does not set have none, and keep their own names. */
const FIELD_OF_TIMER: Readonly<Partial<Record<keyof GateTimers, string>>> = {
  leaseMs: "lease",
  renewMs: "renew_interval",
  marginMs: "margin",
  emitMaxMs: "emit_max",
  freezeTimeoutMs: "freeze_timeout",
  switchAckMs: "switch_ack",
  sessionDeadMs: "session_dead",
};

function violationOf(timers: string, { timer, message }: BrokenTimerRule): FieldViolation {
  let description = message;
  for (const [name, field] of Object.entries(FIELD_OF_TIMER))
    description = description.replaceAll(name, field);
  const field = FIELD_OF_TIMER[timer];
  return {
    field: field === undefined ? timers : `${timers}.${field}`,
    description: `${description} (milliseconds)`,
  };
}

function sentence(fields: readonly FieldViolation[]): string {
  return fields.map(({ field, description }) => `${field}: ${description}`).join("; ");
}
