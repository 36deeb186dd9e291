import type { World } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { TimerOverrides, WorldSettings } from "../store/world-rows.ts";
import { givenSettings, SETTING_DEFAULTS, TIMERS } from "./world-from-proto.ts";

type Setting = Exclude<keyof WorldSettings, "worldId">;
type TimerSet = "paperTimers" | "liveTimers";

/** Fields of a world that a mask may name, and our names for them. */
const SETTINGS: ReadonlyMap<string, Setting> = new Map([
  ["display_name", "displayName"],
  ["clock", "clock"],
  ["source", "source"],
  ["account_id", "accountId"],
  ["allow_live", "allowLive"],
  ["max_lag", "maxLagSeconds"],
  ["decision_ttl", "decisionTtlSeconds"],
  ["on_demote", "onDemote"],
  ["on_lease_lost", "onLeaseLost"],
  ["reduce_only_when_shut", "reduceOnlyWhenShut"],
  ["cancel_protective", "cancelProtective"],
  ["paper_timers", "paperTimers"],
  ["live_timers", "liveTimers"],
]);

/** Fields that a mask may name without effect: they name the world, or are output-only. */
const PASSED_OVER = new Set(["world_id", "etag", "allocation", "policy_version", "create_time"]);

const TIMER_SETS: ReadonlyMap<string, TimerSet> = new Map([
  ["paper_timers", "paperTimers"],
  ["live_timers", "liveTimers"],
]);
const TIMER_NAMES: ReadonlyMap<string, keyof TimerOverrides> = new Map(Object.entries(TIMERS));

/** Makes the new settings of a world from the current ones. */
type SettingsChange = (before: WorldSettings) => WorldSettings;

/**
 * The change that an UpdateWorld requests. The fields that the mask names change, and one that is named and not set
 * goes back to its default. Without a mask the fields that are set change, so that a client of an older version cannot
 * clear what it does not know. Each timer is a field of its own, unless the mask names the whole set of timers.
 *
 * @throws {QmtlError} INVALID_FIELD with `update_mask` for "*" and for a path that is not a field of a world. The
 * change itself throws INVALID_FIELD for another clock or source.
 */
export function settingsChange(world: World, paths: readonly string[]): SettingsChange {
  const given = givenSettings(world);
  const steps = (paths.length > 0 ? paths : setPaths(given)).map((path) => stepOf(path, given));
  return (before) => {
    const after = steps.reduce((settings, step) => step(settings), before);
    refuseImmutable(before, after);
    return after;
  };
}

type Given = ReturnType<typeof givenSettings>;

function setPaths(given: Given): string[] {
  const plain = [...SETTINGS].filter(([path, name]) => name in given && !TIMER_SETS.has(path));
  const timers = [...TIMER_SETS].flatMap(([path, set]) =>
    [...TIMER_NAMES].filter(([, name]) => name in (given[set] ?? {})).map(([t]) => `${path}.${t}`),
  );
  return [...plain.map(([path]) => path), ...timers];
}

function stepOf(path: string, given: Given): SettingsChange {
  const setting = SETTINGS.get(path);
  if (setting !== undefined) return settingStep(setting, given);
  const [parent = "", child = "", ...deeper] = path.split(".");
  const set = TIMER_SETS.get(parent);
  const timer = TIMER_NAMES.get(child);
  if (set !== undefined && timer !== undefined && deeper.length === 0) {
    return timerStep(set, timer, given);
  }
  if (PASSED_OVER.has(path)) return (before) => before;
  const why =
    path === "*" ? "* is not accepted: name the fields" : `${path} is not a field of a world`;
  throw invalid("update_mask", why);
}

function settingStep(setting: Setting, given: Given): SettingsChange {
  if (setting in given) return (before) => ({ ...before, [setting]: given[setting] });
  if (setting === "clock") throw invalid("world.clock", "the clock of a world cannot change");
  return (before) => ({ ...before, [setting]: SETTING_DEFAULTS[setting] });
}

function timerStep(set: TimerSet, timer: keyof TimerOverrides, given: Given): SettingsChange {
  const value = given[set]?.[timer];
  return (before) => {
    const { [timer]: _, ...others } = before[set];
    return { ...before, [set]: value === undefined ? others : { ...others, [timer]: value } };
  };
}

function refuseImmutable(before: WorldSettings, after: WorldSettings): void {
  for (const field of ["clock", "source"] as const) {
    if (after[field] !== before[field]) {
      throw invalid(`world.${field}`, `the ${field} of a world cannot change`);
    }
  }
}

function invalid(field: string, description: string): QmtlError {
  return new QmtlError("INVALID_FIELD", `the world cannot be changed in this way: ${description}`, {
    fields: [{ field, description }],
  });
}
