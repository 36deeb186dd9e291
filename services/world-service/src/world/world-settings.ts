import { type GateTimers, LIVE_TIMERS, PAPER_TIMERS } from "@qmtl/core/gate";
import type { WorldSettings } from "../store/world-rows.ts";

/** Lag allowed when a world does not say: seven days. */
export const maxLagSecondsDefault = 604_800;

/** Life of a decision when a world does not say. */
export const decisionTtlSecondsDefault = 300;

/** The timers in force: of live once the world's stage is live, else of paper. */
export function timersOf(settings: WorldSettings, isLive: boolean, leaderMs: number): GateTimers {
  const base = isLive ? LIVE_TIMERS : PAPER_TIMERS;
  const overrides = isLive ? settings.liveTimers : settings.paperTimers;
  return { ...base, ...overrides, decisionTtlMs: settings.decisionTtlSeconds * 1000, leaderMs };
}
