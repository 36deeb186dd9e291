import type { GateTimers } from "@qmtl/core/gate";
import type { SeriesDomain, Stage } from "../policy/policy.ts";

/** Timers an operator set; a missing one is the default of the stage. */
export type TimerOverrides = Partial<Omit<GateTimers, "decisionTtlMs" | "leaderMs">>;

/** The settings of a world. */
export interface WorldSettings {
  readonly worldId: string;
  readonly displayName: string;
  readonly clock: "wall" | "replay";
  /** Source entry the replay clock reads; empty for wall. */
  readonly source: string;
  readonly accountId: string;
  readonly allowLive: boolean;
  /** Data older than this lower the mode to compute-only. */
  readonly maxLagSeconds: number;
  readonly decisionTtlSeconds: number;
  readonly onDemote: "flat" | "keep";
  readonly onLeaseLost: "cancel_opening" | "hold" | "flatten";
  readonly reduceOnlyWhenShut: boolean;
  readonly cancelProtective: boolean;
  readonly paperTimers: TimerOverrides;
  readonly liveTimers: TimerOverrides;
}

/** A world as stored. Times are in milliseconds since 1970. */
export interface WorldRow {
  readonly settings: WorldSettings;
  /** Increases with every change of the settings; part of the etag. */
  readonly version: number;
  /** The stage to which the world was raised. */
  readonly stage: Stage;
  /** Default policy; 0 = none. */
  readonly policyVersion: number;
  /** Share of the account's equity. */
  readonly allocation: number;
  /** Watermark of its feed; null until one was reported. */
  readonly watermarkMs: number | null;
  readonly createdMs: number;
}

/** A strategy bound to a world. */
export interface BindingRow {
  readonly strategyId: string;
  readonly strategyName: string;
  readonly stage: Stage;
  /** Share of the world's capital that was set for it; null: none. `withSharesInForce` gives the share in force. */
  readonly ownShare: number | null;
  /** Stages it was demoted from on their own series. */
  readonly demotedFrom: readonly Stage[];
  /** Chosen by hand, left out by hand, or null for neither. */
  readonly picked: boolean | null;
  readonly removed: boolean;
  readonly boundOrder: number;
  readonly createdMs: number;
}

/** What is known of a return series without reading it. */
export interface SeriesHead {
  readonly strategyId: string;
  readonly domain: SeriesDomain;
  readonly intervalSeconds: number;
  readonly periodsPerYear: number;
  /** Number of stored returns, one per mark. */
  readonly samples: number;
  /** Number of returns intervals with a mark: as many returns as ratios take of it. */
  readonly intervals: number;
  /** End of the first bucket with a return of −1 or less; null while there is none. */
  readonly ruinedMs: number | null;
  readonly fromMs: number;
  readonly toMs: number;
  /** End of the last bucket of the strategy's inputs. */
  readonly dataEndMs: number;
}

/** Stages of a world and its strategies, as an apply changes and a rollback restores them. */
export interface StageSet {
  readonly world: Stage;
  readonly strategies: Readonly<Record<string, Stage>>;
}
