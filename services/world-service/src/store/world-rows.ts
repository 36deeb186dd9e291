import type { SeriesDomain, Stage } from "../policy/policy.ts";
import type { WorldSettings } from "../world/world-settings.ts";

/** A world as stored. Times are epoch milliseconds. */
export interface WorldRow {
  readonly settings: WorldSettings;
  /** Rises with every change of the settings; the etag. */
  readonly version: number;
  /** The most the world was raised to. */
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
  /** Share of the world's capital that was set for it; null: none was. `withSharesInForce` says what it has. */
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
  readonly samples: number;
  readonly fromMs: number;
  readonly toMs: number;
  /** Last bucket the strategy's inputs had. */
  readonly dataEndMs: number;
}

/** Stages of a world and its strategies, as an apply changes and a rollback restores them. */
export interface StageSet {
  readonly world: Stage;
  readonly strategies: Readonly<Record<string, Stage>>;
}
