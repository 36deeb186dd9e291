import { type GateTimers, LIVE_TIMERS, PAPER_TIMERS } from "@qmtl/core/gate";

/** Timers an operator set; a missing one is the default of the stage. */
export type TimerOverrides = Partial<Omit<GateTimers, "decisionTtlMs" | "leaderMs">>;

/** What an operator sets of a world. */
export interface WorldSettings {
  readonly worldId: string;
  readonly displayName: string;
  readonly clock: "wall" | "replay";
  /** Source entry the replay clock reads; empty for wall. */
  readonly source: string;
  readonly accountId: string;
  readonly allowLive: boolean;
  /** Data older than this lowers to compute-only. */
  readonly maxLagSeconds: number;
  readonly decisionTtlSeconds: number;
  readonly onDemote: "flat" | "keep";
  readonly onLeaseLost: "cancel_opening" | "hold" | "flatten";
  readonly reduceOnlyWhenShut: boolean;
  readonly cancelProtective: boolean;
  readonly paperTimers: TimerOverrides;
  readonly liveTimers: TimerOverrides;
}

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
