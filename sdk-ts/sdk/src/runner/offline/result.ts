import type { RouterOrder } from "@qmtl/core/execution";
import type { MetricValues, ReturnSeries } from "@qmtl/core/metrics";
import type { IdentifiedGraph } from "../../strategy/graphs.ts";
import type { StrategyFill } from "../../strategy/index.ts";

/** A node of the strategy that ran. */
export interface ResultNode {
  /** `"blake3:"` and 64 hex digits. */
  readonly id: string;
  /** As messages and reports show it. */
  readonly name: string;
  /** Such as `StreamInput`, `sma`, `ProcessingNode`. */
  readonly type: string;
}

/** Work done after the target, for this strategy alone; node evaluations are counted apart. */
export interface StepsAfterTarget {
  readonly targetChanges: number;
  readonly orders: number;
  readonly fills: number;
  /** Moments at which the books were marked. */
  readonly bars: number;
}

/** Money paid for trading, in the account's currency. */
export interface ResultCosts {
  readonly fees: number;
  /** Inside the fill prices. */
  readonly spread: number;
}

/** What became of one instrument. Money in the account's currency. */
export interface ResultInstrument {
  readonly instrument: string;
  /** Entry of `sources:` its orders filled on. */
  readonly markSource: string;
  /** Bars traded. */
  readonly bars: number;
  /** Rows of its feed before the first traded bar. */
  readonly warmupRows: number;
  readonly orders: number;
  readonly fills: number;
  /** Held at the end, units as a decimal string, negative for short. */
  readonly quantity: string;
  /** Per unit; 0 while flat. */
  readonly averageCost: number;
  /** Last close; NaN without one. */
  readonly mark: number;
  /** Before fees. */
  readonly realisedPnl: number;
  readonly unrealisedPnl: number;
  readonly costs: ResultCosts;
}

/** Result of an offline run. */
export interface OfflineResult {
  /** Name of the strategy. */
  readonly strategyName: string;
  /** Inputs before readers. */
  readonly nodes: readonly ResultNode[];
  /** The nodes as they were declared, with their ids. */
  readonly graph: IdentifiedGraph;
  /** Rows each node was computed on, by node id, those before the first traded bar included. Sources have none. */
  readonly evaluations: ReadonlyMap<string, number>;
  /** What was traded, by symbol. */
  readonly instruments: readonly ResultInstrument[];
  /** Rows of the returns' feed before its first traded bar: they warm the nodes and are not traded. */
  readonly warmupRows: number;
  /** Work done after the targets. */
  readonly afterTarget: StepsAfterTarget;
  /** The series a world's policy judges, on the clock of one feed; see `OfflineOptions.returnsSource`. */
  readonly returns: ReturnSeries;
  /** Ends of the buckets of the returns, milliseconds; one per return. */
  readonly returnTimesMs: Float64Array;
  /** Every metric of the registry that has a value. */
  readonly metrics: MetricValues;
  /** Moments at which bars ended, of any instrument or of the returns' feed, milliseconds, increasing; `length = bars`. */
  readonly timesMs: Float64Array;
  /** Equity then, each instrument at its last close, in the account's currency; `length = bars`. */
  readonly equity: Float64Array;
  /** In the order they happened. */
  readonly fills: readonly StrategyFill[];
  /** In the order they were made. */
  readonly orders: readonly Readonly<RouterOrder>[];
  /** Paid in all. */
  readonly costs: ResultCosts;
  /** Of all money. */
  readonly currency: string;
  /** True: fees and spread were left out, for one instrument at least, and every report must say so. */
  readonly noCosts: boolean;
  /** Traded notional ÷ equity, per year. */
  readonly turnover: number;
  /** Buy-and-hold of the instruments at equal weights over the same bars, under the same rules. */
  readonly buyAndHold: BuyAndHoldResult;
  /** What a reader must know of the data and the run, one sentence each. */
  readonly notes: readonly string[];
  /** Names the rows that were read: the as-of of this backtest. */
  readonly datasetFingerprint: string;
}

/** Result of holding the instruments all the time, for comparison. */
export interface BuyAndHoldResult {
  /** On the clock of the strategy's returns. */
  readonly returns: ReturnSeries;
  /** Every metric of the registry that has a value. */
  readonly metrics: MetricValues;
  /** At the moments of the strategy's equity, in the account's currency. */
  readonly equity: Float64Array;
  /** Number of orders. */
  readonly orders: number;
}
