/** An order as the simulated broker takes it. Lots are signed: above 0 buys. */
export interface SimulatedOrder {
  readonly id: string;
  readonly instrument: string;
  readonly lots: number;
  /** When the order was decided: the end of a bucket, epoch milliseconds (offline: any increasing number). */
  readonly bucket: number;
  /** @default "market" */
  readonly type?: "market" | "limit" | "stop";
  /** Limit price; required for a limit. */
  readonly limitPrice?: number;
  /** Trigger price; required for a stop. */
  readonly stopPrice?: number;
  /** Fills only down to flat in its `book`; what is beyond is cancelled. @default false */
  readonly reduceOnly?: boolean;
  /** Sub-account the order trades for; reduce-only looks at its position alone. @default "" */
  readonly book?: string;
}

/**
 * One bar of one instrument. Prices in the quote currency; a NaN price means no trade could be made at it. At a price of
 * 0 or below positions are closed, and none is opened.
 */
export interface SimulatedBar {
  readonly instrument: string;
  /** Absolute row of the bar; part of the execution id. */
  readonly row: number;
  /** When the bar began, in the unit of its end: end − interval of its source. */
  readonly openTimeMs: number;
  /** End of the bar's bucket, epoch milliseconds; increases from bar to bar. */
  readonly bucketEndMs: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
}

/** A fill of the simulated broker. */
export interface SimulatedFill {
  /** `<order id>:<row>`, so the same history gives the same ids. */
  readonly executionId: string;
  readonly orderId: string;
  readonly instrument: string;
  readonly book: string;
  readonly lots: number;
  /** Includes the half spread if the order pays it. */
  readonly price: number;
  readonly fee: number;
  /** Money lost to the half spread, ≥ 0; already inside `price`. */
  readonly spreadCost: number;
  readonly row: number;
  readonly bucketEndMs: number;
}

export type AcceptRefusal = "BAD_ORDER" | "BUCKET_TOO_OLD" | "REDUCE_ONLY_NOTHING_TO_REDUCE";

/** Fills come at once when a bar after the order's bucket was seen before the order arrived. */
export type AcceptOutcome =
  | {
      readonly accepted: true;
      readonly duplicate: boolean;
      readonly fills: readonly SimulatedFill[];
    }
  | { readonly accepted: false; readonly reason: AcceptRefusal };

/**
 * Whether a bar ended after an order was decided and had not begun by then, so that the order meets all of its prices.
 *
 * The bar right after one that ended at that moment always counts: where clocks change, a bar may begin a little before
 * the nominal end of the previous one.
 *
 * @param lastEndMs end of the instrument's previous bar; undefined when it is not known
 */
export function isAfterDecision(
  order: Pick<SimulatedOrder, "bucket">,
  bar: Pick<SimulatedBar, "openTimeMs" | "bucketEndMs">,
  lastEndMs: number | undefined,
): boolean {
  const { bucket } = order;
  return bar.bucketEndMs > bucket && (bar.openTimeMs >= bucket || lastEndMs === bucket);
}

/** Share of a tick by which float noise may make a trade-through look too small. */
const TICK_TOLERANCE = 1e-6;

/**
 * Price before costs at which an order fills on a bar, or NaN when it does not.
 *
 * Market: the open. Limit: the open when the bar opens through the limit, else the limit, and only if the bar trades
 * through it by a tick (any amount when the tick is 0). Stop: the open when the bar gaps over it, else the stop when
 * touched.
 */
export function fillPriceOn(order: SimulatedOrder, bar: SimulatedBar, tick: number): number {
  const isBuy = order.lots > 0;
  if (order.type === "limit") {
    const limit = order.limitPrice ?? Number.NaN;
    const through = (price: number): boolean =>
      tick > 0
        ? (isBuy ? limit - price : price - limit) >= tick * (1 - TICK_TOLERANCE)
        : isBuy
          ? price < limit
          : price > limit;
    return through(bar.open) ? bar.open : through(isBuy ? bar.low : bar.high) ? limit : Number.NaN;
  }
  if (order.type === "stop") {
    const stop = order.stopPrice ?? Number.NaN;
    if (isBuy) {
      return bar.open >= stop ? bar.open : bar.high >= stop ? stop : Number.NaN;
    }
    return bar.open <= stop ? bar.open : bar.low <= stop ? stop : Number.NaN;
  }
  return bar.open;
}
