import { checkTimers } from "@qmtl/sdk/gate";
import { type FieldViolation, QmtlError } from "@qmtl/sdk/rpc";
import { leaderMsDefault } from "./leadership.ts";
import { timersOf, type WorldSettings } from "./world-settings.ts";

/** Refuses settings that break a rule. @throws {QmtlError} INVALID_FIELD, TIMERS_INVALID */
export function checkSettings(settings: WorldSettings): void {
  const fields: FieldViolation[] = [];
  const isReplay = settings.clock === "replay";
  if (isReplay && settings.source === "") {
    fields.push({ field: "world.source", description: "a replay world names its source" });
  }
  if (!isReplay && settings.source !== "") {
    const description = "is the clock of a replay world; one that lives by the wall clock has none";
    fields.push({ field: "world.source", description });
  }
  if (isReplay && settings.allowLive) {
    fields.push({ field: "world.allow_live", description: "a replay world is never live" });
  }
  if (fields.length > 0) throw new QmtlError("INVALID_FIELD", "the world is not valid", { fields });
  for (const [name, isLive] of [
    ["paper_timers", false],
    ["live_timers", true],
  ] as const) {
    const broken = checkTimers(timersOf(settings, isLive, leaderMsDefault), { isLive });
    if (broken.length === 0) continue;
    throw new QmtlError("TIMERS_INVALID", broken.map((b) => b.message).join("; "), {
      fields: broken.map((b) => ({ field: `world.${name}`, description: b.message })),
    });
  }
}
