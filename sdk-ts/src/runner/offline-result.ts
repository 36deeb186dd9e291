import type { RouterOrder } from "../execution/index.ts";
import type { MetricValues, ReturnSeries } from "../metrics/index.ts";
import type { IdentifiedGraph, StrategyFill } from "../strategy/index.ts";

/** A node of the strategy that ran. */
export interface ResultNode {
  readonly id: string;
  readonly name: string;
  /** Such as `StreamInput`, `sma`, `ProcessingNode`. */
  readonly type: string;
}

/** Work done after the target, for this strategy alone; node evaluations are counted apart. */
export interface StepsAfterTarget {
  readonly targetChanges: number;
  readonly orders: number;
  readonly fills: number;
  /** Bars at which the books were marked. */
  readonly bars: number;
}

/** Money paid for trading, in the account's currency. */
export interface ResultCosts {
  readonly fees: number;
  /** Inside the fill prices. */
  readonly spread: number;
}

/** Result of an offline run. */
export interface OfflineResult {
  readonly strategyName: string;
  /** Inputs before readers. */
  readonly nodes: readonly ResultNode[];
  readonly graph: IdentifiedGraph;
  /** Rows each node was computed on, by node id, those before the first traded bar included. Sources have none. */
  readonly evaluations: ReadonlyMap<string, number>;
  /** Rows before the first traded bar: they warm the nodes and are not traded. */
  readonly warmupRows: number;
  readonly afterTarget: StepsAfterTarget;
  /** The series a world's policy judges. */
  readonly returns: ReturnSeries;
  /** Every metric of the registry that has a value. */
  readonly metrics: MetricValues;
  /** Ends of the bars traded, milliseconds; `length = bars`. */
  readonly timesMs: Float64Array;
  /** Equity at each bar's close, in the account's currency; `length = bars`. */
  readonly equity: Float64Array;
  readonly fills: readonly StrategyFill[];
  readonly orders: readonly Readonly<RouterOrder>[];
  readonly costs: ResultCosts;
  readonly currency: string;
  /** True: fees and spread were left out, and every report must say so. */
  readonly noCosts: boolean;
  /** Traded notional ÷ equity, times a year. */
  readonly turnover: number;
  /** Buy-and-hold of the instrument over the same bars, under the same rules. */
  readonly hold: HoldResult;
  /** What a reader must know of the data and the run, one sentence each. */
  readonly facts: readonly string[];
  /** Names the rows that were read: the as-of of this backtest. */
  readonly datasetFingerprint: string;
}

export interface HoldResult {
  readonly returns: ReturnSeries;
  readonly metrics: MetricValues;
  readonly equity: Float64Array;
  readonly orders: number;
}
