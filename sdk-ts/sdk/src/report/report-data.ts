/** An equity curve; `timesMs` and `equity` have the same length. */
export interface ReportCurve {
  readonly name: string;
  /** Bucket ends, epoch milliseconds, increasing. */
  readonly timesMs: ArrayLike<number>;
  /** Money; drawn relative to its first finite value. NaN leaves a hole. */
  readonly equity: ArrayLike<number>;
}

/** How much of the equity positions were worth over time; all columns have the same length. 1 = 100 % of the equity. */
export interface ReportExposure {
  /** Bucket ends, epoch milliseconds, increasing. */
  readonly timesMs: ArrayLike<number>;
  /** Values of all positions without their signs ÷ equity. */
  readonly gross: ArrayLike<number>;
  /** Values of all positions, negative while short, ÷ equity. */
  readonly net: ArrayLike<number>;
  /** Value of the largest position without its sign ÷ equity. */
  readonly largestWeight: ArrayLike<number>;
}

/** A figure with its name; an undefined or not finite value is shown as n/a. */
export interface ReportFigure {
  readonly name: string;
  readonly value: number | undefined;
  /** `percent` shows 0.25 as 25 %. @default "number" */
  readonly format?: "number" | "percent" | "count";
  /** Annualisation or another remark, shown beside the name. */
  readonly note?: string;
}

/** One strategy of the report. Curves of two domains are two entries, never one line. */
export interface ReportStrategy {
  readonly name: string;
  /** For instance "backtest", "paper". */
  readonly domain: string;
  readonly curve: ReportCurve;
  /** Buy-and-hold over the same bars, drawn beside it. */
  readonly hold?: ReportCurve;
  /** Drawn below equity and drawdown. */
  readonly exposure?: ReportExposure;
  readonly figures: readonly ReportFigure[];
}

/** A fill. Money in the report's currency. */
export interface ReportFill {
  readonly timeMs: number;
  readonly world: string;
  readonly strategy: string;
  readonly instrument: string;
  /** Decimal string in units, negative for a sale. */
  readonly quantity: string;
  readonly price: number;
  readonly fee: number;
  /** Why the order was made: an `OrderOrigin` of the core, such as target; "cross" for a trade inside the account. */
  readonly origin: string;
}

/** A position at the end. Money in the report's currency. */
export interface ReportPosition {
  readonly world: string;
  readonly strategy: string;
  readonly instrument: string;
  /** Decimal string in units, negative for short. */
  readonly quantity: string;
  readonly averageCost: number;
  readonly mark: number;
  readonly realisedPnl: number;
  readonly unrealisedPnl: number;
}

/** Number of nodes of a submission: all, those it created and those that existed already. */
export interface ReportReuse {
  readonly strategy: string;
  readonly nodes: number;
  readonly created: number;
  readonly reused: number;
}

/** An entry of the timeline, such as a decision, an apply phase, a halt or an outage. */
export interface ReportEvent {
  readonly timeMs: number;
  readonly kind: "decision" | "apply" | "halt" | "resume" | "rebalance" | "outage" | "note";
  readonly title: string;
  readonly detail?: string;
}

/** Everything a report shows. Texts are plain text; the renderer escapes them. */
export interface ReportData {
  readonly title: string;
  /** When the report was made, epoch milliseconds. */
  readonly madeAtMs: number;
  /** True if costs were left out; the report is then stamped "No costs". */
  readonly noCosts: boolean;
  /** Currency of all money. */
  readonly currency: string;
  readonly strategies: readonly ReportStrategy[];
  readonly fills: readonly ReportFill[];
  /** Number of latest fills that are listed; the report also states how many there were. @default 500 */
  readonly fillsShownMax?: number;
  readonly positions: readonly ReportPosition[];
  readonly reuse: readonly ReportReuse[];
  /** Counters, such as node evaluations, steps after the target, warm-up rows. */
  readonly evaluations: readonly ReportFigure[];
  readonly timeline: readonly ReportEvent[];
  /** What a reader must know about the data, one sentence each. */
  readonly notes: readonly string[];
}
