import {
  type LeaseTimers,
  type World,
  WorldClock,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import {
  decisionTtlSecondsDefault,
  maxLagSecondsDefault,
  type TimerOverrides,
  type WorldSettings,
} from "../world/world-settings.ts";

/** Settings of a world; what is unset has its default. */
export function settingsFromProto(world: World, defaults: TimerOverrides): WorldSettings {
  return {
    worldId: world.worldId,
    displayName: world.displayName,
    clock: world.clock === WorldClock.REPLAY ? "replay" : "wall",
    source: world.source,
    accountId: world.accountId,
    allowLive: world.allowLive,
    maxLagSeconds: Number(world.maxLagSeconds) || maxLagSecondsDefault,
    decisionTtlSeconds: Number(world.decisionTtlSeconds) || decisionTtlSecondsDefault,
    onDemote: world.onDemote === "keep" ? "keep" : "flat",
    onLeaseLost: leaseLostFromProto(world.onLeaseLost),
    reduceOnlyWhenShut: world.reduceOnlyWhenShut,
    cancelProtective: world.cancelProtective,
    paperTimers: { ...defaults, ...timersFromProto(world.paperTimers) },
    liveTimers: timersFromProto(world.liveTimers),
  };
}

function leaseLostFromProto(text: string): WorldSettings["onLeaseLost"] {
  return text === "hold" || text === "flatten" ? text : "cancel_opening";
}

function timersFromProto(timers: LeaseTimers | undefined): TimerOverrides {
  if (timers === undefined) return {};
  const { leaseMs, renewMs, marginMs, emitMaxMs, freezeTimeoutMs, switchAckMs, sessionDeadMs } =
    timers;
  const given = {
    leaseMs,
    renewMs,
    marginMs,
    emitMaxMs,
    freezeTimeoutMs,
    switchAckMs,
    sessionDeadMs,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value > 0));
}
