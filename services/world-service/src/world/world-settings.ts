import { type GateTimers, LIVE_TIMERS, PAPER_TIMERS } from "@qmtl/core/gate";
import type { WorldSettings } from "../store/world-rows.ts";

/** Largest lag in a world that does not set one: seven days. */
export const maxLagSecondsDefault = 604_800;

/** Time to live of a decision in a world that does not set one. */
export const decisionTtlSecondsDefault = 300;

/** The timers in force: those of live once the world's stage is live, else those of paper. */
export function timersOf(settings: WorldSettings, isLive: boolean, leaderMs: number): GateTimers {
  const base = isLive ? LIVE_TIMERS : PAPER_TIMERS;
  const overrides = isLive ? settings.liveTimers : settings.paperTimers;
  return { ...base, ...overrides, decisionTtlMs: settings.decisionTtlSeconds * 1000, leaderMs };
}
