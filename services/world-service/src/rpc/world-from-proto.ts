import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import {
  DemotePolicy,
  LeaseLostPolicy,
  type LeaseTimers,
  type World,
  WorldClock,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { TimerOverrides, WorldSettings } from "../store/world-rows.ts";
import { decisionTtlSecondsDefault, maxLagSecondsDefault } from "../world/world-settings.ts";
import { clocks, demotePolicies, leaseLostPolicies } from "./closed-sets.ts";

/** Defaults of what a world leaves unset. Its id and clock must be set, and the source of a replay world. */
export const SETTING_DEFAULTS: Omit<WorldSettings, "worldId" | "clock"> = {
  displayName: "",
  source: "",
  accountId: "",
  allowLive: false,
  maxLagSeconds: maxLagSecondsDefault,
  decisionTtlSeconds: decisionTtlSecondsDefault,
  onDemote: "flat",
  onLeaseLost: "cancel_opening",
  reduceOnlyWhenShut: false,
  cancelProtective: false,
  paperTimers: {},
  liveTimers: {},
};

/**
 * Settings of a new world; what is unset has its default, and output-only fields are skipped.
 *
 * @param timers timers of paper, for those that the world does not set
 * @throws {QmtlError} INVALID_FIELD without a clock.
 */
export function settingsFromProto(world: World, timers: TimerOverrides): WorldSettings {
  const { clock = clocks.fromProto(world.clock, "world.clock"), ...given } = givenSettings(world);
  return {
    ...SETTING_DEFAULTS,
    ...given,
    worldId: world.worldId,
    clock,
    paperTimers: { ...timers, ...given.paperTimers },
  };
}

/**
 * The settings that are set in a message. A scalar counts as set unless it is zero: proto3 knows no other difference.
 */
export function givenSettings(world: World): Partial<Omit<WorldSettings, "worldId">> {
  const { displayName, source, accountId, paperTimers, liveTimers } = world;
  const { clock, onDemote, onLeaseLost } = world;
  return {
    ...(displayName === "" ? {} : { displayName }),
    ...(clock === WorldClock.UNSPECIFIED ? {} : { clock: clocks.fromProto(clock, "world.clock") }),
    ...(source === "" ? {} : { source }),
    ...(accountId === "" ? {} : { accountId }),
    ...(world.allowLive ? { allowLive: true } : {}),
    ...(world.maxLag && { maxLagSeconds: secondsOf(world.maxLag, "world.max_lag") }),
    ...(world.decisionTtl && {
      decisionTtlSeconds: secondsOf(world.decisionTtl, "world.decision_ttl"),
    }),
    ...(onDemote === DemotePolicy.UNSPECIFIED
      ? {}
      : { onDemote: demotePolicies.fromProto(onDemote, "world.on_demote") }),
    ...(onLeaseLost === LeaseLostPolicy.UNSPECIFIED
      ? {}
      : { onLeaseLost: leaseLostPolicies.fromProto(onLeaseLost, "world.on_lease_lost") }),
    ...(world.reduceOnlyWhenShut ? { reduceOnlyWhenShut: true } : {}),
    ...(world.cancelProtective ? { cancelProtective: true } : {}),
    ...(paperTimers && { paperTimers: timersFromProto(paperTimers) }),
    ...(liveTimers && { liveTimers: timersFromProto(liveTimers) }),
  };
}

/** Our name for each timer of the contract. */
export const TIMERS = {
  lease: "leaseMs",
  renew_interval: "renewMs",
  margin: "marginMs",
  emit_max: "emitMaxMs",
  freeze_timeout: "freezeTimeoutMs",
  switch_ack: "switchAckMs",
  session_dead: "sessionDeadMs",
} as const satisfies Record<string, keyof TimerOverrides>;

function secondsOf(duration: Duration, field: string): number {
  const ms = durationMs(duration);
  if (ms > 0) return ms / 1_000;
  throw new QmtlError("INVALID_FIELD", `${field} must be at least a millisecond`, {
    fields: [{ field, description: "must be at least a millisecond" }],
  });
}

/** The timers that are set, unchecked: `checkSettings` refuses those that break a rule. */
function timersFromProto(timers: LeaseTimers): TimerOverrides {
  const given: Record<keyof TimerOverrides, Duration | undefined> = {
    leaseMs: timers.lease,
    renewMs: timers.renewInterval,
    marginMs: timers.margin,
    emitMaxMs: timers.emitMax,
    freezeTimeoutMs: timers.freezeTimeout,
    switchAckMs: timers.switchAck,
    sessionDeadMs: timers.sessionDead,
  };
  const set = Object.entries(given).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, durationMs(value)] as const],
  );
  return Object.fromEntries(set);
}
