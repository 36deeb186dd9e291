import type { RefusalReason, RouterOrder } from "@qmtl/core/execution";
import type { MarkedReturns, MetricValues, ReturnSeries } from "@qmtl/core/metrics";
import type { IdentifiedGraph } from "../../strategy/graphs.ts";
import type { StrategyFill } from "../../strategy/index.ts";

/** A node of the strategy that ran. */
export interface ResultNode {
  /** `"blake3:"` and 64 hex digits. */
  readonly id: string;
  /** Name in messages and reports. */
  readonly name: string;
  /** Such as `StreamInput`, `sma`, `ProcessingNode`. */
  readonly type: string;
}

/** Work done after the targets, for this strategy only; node evaluations are counted separately. */
export interface StepsAfterTarget {
  readonly targetChanges: number;
  readonly orders: number;
  readonly fills: number;
  /** Number of times the books were marked. */
  readonly bars: number;
}

/** Money paid for trading, in the account's currency. */
export interface ResultCosts {
  readonly fees: number;
  /** Already contained in the fill prices. */
  readonly spread: number;
}

/** What holding positions has cost, in the account's currency; below 0: received. */
export interface ResultFinancing {
  /** On cash: paid at the debit rate, less what was received at the cash rate. */
  readonly interest: number;
  /** For what was sold short. */
  readonly borrowFees: number;
  /** Funding of perpetual futures. */
  readonly funding: number;
}

/** Result for one instrument. Money is in the account's currency. */
export interface ResultInstrument {
  readonly instrument: string;
  /** Entry of `sources:` on whose bars its orders filled. */
  readonly markSource: string;
  /** Number of bars traded. */
  readonly bars: number;
  /** Number of rows of its feed before the first traded bar. */
  readonly warmupRows: number;
  readonly orders: number;
  readonly fills: number;
  /** Units held at the end, as a decimal string; negative = short. */
  readonly quantity: string;
  /** Price per unit; 0 while flat. */
  readonly averageCost: number;
  /** Last close; NaN without one. */
  readonly mark: number;
  /** Before fees. */
  readonly realisedPnl: number;
  readonly unrealisedPnl: number;
  readonly costs: ResultCosts;
  /** Paid for being short of it. */
  readonly borrowFees: number;
  /** Funding paid; below 0: received. */
  readonly funding: number;
}

/** Something that was wanted and not traded, or not whole. */
export interface ResultRefusal {
  readonly instrument: string;
  /** Signed units that were not traded, as a decimal string; `"0"` for a target that could not be sized. */
  readonly quantity: string;
  /** As a world reports it. */
  readonly reason: RefusalReason;
  /**
   * End of the bucket, of whichever feed, at which it was decided; or end of the bar on which the broker cut a fill;
   * milliseconds.
   */
  readonly eventTimeMs: number;
}

/** The mark at which nothing was left. */
export interface ResultRuin {
  /** End of the bar, milliseconds. */
  readonly timeMs: number;
  /** Cash and positions at their marks, 0 or less, in the account's currency. */
  readonly equity: number;
}

/** Result of an offline run. */
export interface OfflineResult {
  /** Name of the strategy. */
  readonly strategyName: string;
  /** Nodes that ran, each after its inputs. */
  readonly nodes: readonly ResultNode[];
  /** The nodes as they were declared, with their ids. */
  readonly graph: IdentifiedGraph;
  /** Number of rows on which each node was computed, by node id, warm-up included. Sources have none. */
  readonly evaluations: ReadonlyMap<string, number>;
  /** Instruments that were traded, by symbol. */
  readonly instruments: readonly ResultInstrument[];
  /** Largest number of rows of a traded feed before its first traded bar: they warm the nodes and are not traded. */
  readonly warmupRows: number;
  /** Work done after the targets. */
  readonly afterTarget: StepsAfterTarget;
  /**
   * The run as its metrics see it. Ratios sample the equity once per returns interval, the longest interval of the
   * traded feeds, at the last mark in it; intervals without a bar are left out. Total return and drawdown are of all
   * marks.
   */
  readonly returns: ReturnSeries;
  /** Returns from mark to mark. They are what a submission hands in, and a world judges them as `returns` does. */
  readonly markReturns: MarkedReturns;
  /** Every metric of the registry that has a value. */
  readonly metrics: MetricValues;
  /** Marks: times at which a bar of any traded feed ended, milliseconds, increasing; `length = bars`. */
  readonly timesMs: Float64Array;
  /**
   * Equity at `timesMs`, each instrument at its last close, in the account's currency; `length = bars`. 0 from the mark
   * on at which nothing was left.
   */
  readonly equity: Float64Array;
  /**
   * Gross exposure at `timesMs`: values of all positions without their signs ÷ equity, 1 = 100 %; `length = bars`. 0
   * while nothing is held and from the mark on at which nothing was left.
   */
  readonly gross: Float64Array;
  /** Net exposure at `timesMs`: values of all positions, negative while short, ÷ equity; otherwise as `gross`. */
  readonly net: Float64Array;
  /** Largest weight at `timesMs`: value of the largest position without its sign ÷ equity; otherwise as `gross`. */
  readonly largestWeight: Float64Array;
  /** Mark at which the equity was 0 or less: it returns −100 %, and nothing trades after it. Undefined without one. */
  readonly ruin: ResultRuin | undefined;
  /** In the order they happened. */
  readonly fills: readonly StrategyFill[];
  /** In the order they were made. */
  readonly orders: readonly Readonly<RouterOrder>[];
  /** What was wanted and not traded, in the order it happened. */
  readonly refusals: readonly ResultRefusal[];
  /** Account of the configuration whose costs, cash and rules held; undefined in a configuration without accounts. */
  readonly accountId: string | undefined;
  /** Total paid. */
  readonly costs: ResultCosts;
  /** Charged for holding positions, by kind; all 0 without rates and funding. */
  readonly financing: ResultFinancing;
  /** Currency of all amounts. */
  readonly currency: string;
  /** True if fees and spread were left out for at least one instrument; every report must say so. */
  readonly noCosts: boolean;
  /** Traded notional ÷ equity, per year. */
  readonly turnover: number;
  /** Buy-and-hold of the instruments at equal weights over the same bars, under the same rules. */
  readonly buyAndHold: BuyAndHoldResult;
  /** What a reader must know about the data and the run, one sentence each. */
  readonly notes: readonly string[];
  /** Fingerprint of the rows that were read: the as-of of this backtest. */
  readonly datasetFingerprint: string;
}

/** An instrument that buy and hold could not buy. */
export interface UnboughtInstrument {
  readonly instrument: string;
  /** For a reader: `the limits of the account forbid it (OVER_LIMIT)`. */
  readonly why: string;
}

/** Result of buying and holding the instruments, for comparison. */
export interface BuyAndHoldResult {
  /** Sampled as the strategy's returns are. */
  readonly returns: ReturnSeries;
  /** Every metric of the registry that has a value; none if nothing could be bought. */
  readonly metrics: MetricValues;
  /** Instruments that it could not buy, sorted by symbol. */
  readonly unbought: readonly UnboughtInstrument[];
  /** Equity at the times of the strategy's equity, in the account's currency. */
  readonly equity: Float64Array;
  /** Number of orders. */
  readonly orders: number;
}
