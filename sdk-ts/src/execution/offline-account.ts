import type { HashHex } from "./client-order-id.ts";
import type { InstrumentSpec } from "./instrument-spec.ts";
import { OrderRouter } from "./order-router.ts";
import type { RouterEffect, RouterOrder } from "./router-order.ts";
import { type CostOptions, SimulatedBroker } from "./simulated-broker.ts";
import type { SimulatedFill } from "./simulated-order.ts";

export type OfflineAccountOptions = CostOptions & {
  readonly instrument: InstrumentSpec;
  /** Money the strategy starts with, all of it its own. */
  readonly capital: number;
  /** Market-on-close fills on the deciding bar. Off unless named. @default false */
  readonly sameBarClose?: boolean;
  /** Expected number of bars; the columns grow past it. @default 4096 */
  readonly rowsExpected?: number;
  /** World and strategy the books are kept under. @default "offline", "strategy" */
  readonly world?: string;
  readonly strategy?: string;
  /** Hash of client order ids; offline ids need be unique within the run only. @default a counter */
  readonly hashHex?: HashHex;
};

/** Totals of a run. Money in the quote currency. */
export interface OfflineTotals {
  readonly fees: number;
  readonly spreadCosts: number;
  /** Σ over fills of notional ÷ equity at the previous close; times periods a year ÷ bars = turnover a year. */
  readonly turnover: number;
  readonly realisedPnl: number;
  readonly barsDone: number;
}

/** Finished orders and executions remembered: offline nothing comes late or twice. */
const FINISHED_MAX = 16;

/**
 * One strategy, one instrument, bar by bar, through the very order router and broker that paper uses.
 *
 * A target given with bar t is sized at its close with the account's equity at that close, and fills at the
 * open of t+1 with costs. `step` allocates nothing on a bar where the target stays and no order works. Beyond
 * 2^53 lots quantities are the nearest floats; full exits stay exact. A NaN target keeps the one before; a
 * NaN close keeps the mark before.
 */
export class OfflineAccount {
  readonly fills: SimulatedFill[] = [];
  readonly orders: Readonly<RouterOrder>[] = [];
  readonly #router: OrderRouter;
  readonly #broker: SimulatedBroker;
  readonly #id: { world: string; strategy: string; instrument: string };
  readonly #lotUnit: number;
  readonly #sameBarClose: boolean;
  #equity: Float64Array;
  #length = 0;
  #cash: number;
  #units = 0;
  #mark = Number.NaN;
  #target = 0;
  #working = 0;
  #lastEquity: number;
  #fees = 0;
  #spreadCosts = 0;
  #turnover = 0;

  constructor(options: OfflineAccountOptions) {
    const { instrument, capital } = options;
    const { world = "offline", strategy = "strategy" } = options;
    this.#id = { world, strategy, instrument: instrument.symbol };
    this.#lotUnit = Number(instrument.lotSize) * (instrument.multiplier ?? 1);
    this.#sameBarClose = options.sameBarClose ?? false;
    let orders = 0;
    const counter = {
      orderId: () => `q${++orders}`,
      hashHex: String,
    };
    const ids = options.hashHex === undefined ? counter : { hashHex: options.hashHex };
    const shared = { instruments: [instrument], initialCash: capital, ...ids };
    const memory = { closedOrdersMax: FINISHED_MAX, executionsMax: FINISHED_MAX };
    this.#router = new OrderRouter({ account: "offline", ...shared, ...memory });
    this.#router.setAllocation({ world, strategy, share: 1, equity: capital });
    this.#broker = new SimulatedBroker({
      ...options,
      instruments: [instrument],
      barsMax: 2,
      finishedMax: FINISHED_MAX,
    });
    this.#equity = new Float64Array(options.rowsExpected ?? 4096);
    this.#cash = capital;
    this.#lastEquity = capital;
  }

  /**
   * One bar: working orders fill at its open, then the target is taken at its close.
   *
   * @param row absolute row, rising; it is the bucket of the orders and part of the execution ids
   * @param target fraction of the capital, NaN to keep the one before
   */
  step(row: number, open: number, high: number, low: number, close: number, target: number): void {
    const isChange = target !== this.#target && !Number.isNaN(target);
    if (this.#working > 0 || (isChange && this.#sameBarClose)) {
      this.#play(row, open, high, low, close);
    }
    if (!Number.isNaN(close)) {
      this.#mark = close;
    }
    if (isChange && this.#mark > 0) {
      this.#decide(row, target);
    }
    const equity = this.#units === 0 ? this.#cash : this.#cash + this.#units * this.#mark;
    if (this.#length === this.#equity.length) {
      this.#grow();
    }
    this.#equity[this.#length++] = equity;
    this.#lastEquity = equity;
  }

  /** Equity at each bar's close, in the order of steps; a view that the next growth replaces. */
  equity(): Float64Array {
    return this.#equity.subarray(0, this.#length);
  }

  /** Return of each bar after the first: `length = bars − 1`. */
  returns(): Float64Array {
    const equity = this.equity();
    const returns = new Float64Array(Math.max(0, equity.length - 1));
    for (let i = 0; i < returns.length; i++) {
      returns[i] = equity[i + 1]! / equity[i]! - 1;
    }
    return returns;
  }

  totals(): OfflineTotals {
    return {
      fees: this.#fees,
      spreadCosts: this.#spreadCosts,
      turnover: this.#turnover,
      realisedPnl: this.#router.book(this.#id)?.realisedPnl ?? 0,
      barsDone: this.#length,
    };
  }

  /** Lots held now. */
  get positionLots(): number {
    return this.#router.book(this.#id)?.quantity ?? 0;
  }

  get workingOrders(): number {
    return this.#working;
  }

  #play(row: number, open: number, high: number, low: number, close: number): void {
    const { instrument } = this.#id;
    this.#bookFills(
      this.#broker.onBar({ instrument, row, bucketEndMs: row, open, high, low, close }),
    );
  }

  #decide(row: number, target: number): void {
    this.#target = target;
    const { effects } = this.#router.setTarget({
      ...this.#id,
      value: target,
      bucket: row,
      mark: this.#mark,
    });
    for (const effect of effects) {
      this.#send(effect);
    }
  }

  #send(effect: RouterEffect): void {
    if (effect.kind !== "send") {
      return;
    }
    const { order } = effect;
    this.orders.push(order);
    this.#working++;
    this.#router.onSent(order.id);
    const { id, instrument, lots, bucket, reduceOnly } = order;
    const outcome = this.#broker.accept({ id, instrument, lots, bucket, reduceOnly });
    if (!outcome.accepted) {
      this.#working--;
      this.#router.onRejected(id, outcome.reason);
      return;
    }
    this.#router.onAccepted(id);
    this.#bookFills(outcome.fills);
  }

  #bookFills(fills: readonly SimulatedFill[]): void {
    for (const fill of fills) {
      const { orderId, executionId, lots, price, fee } = fill;
      this.#router.onFill({ orderId, executionId, lots, price, fee });
      this.#working--;
      this.fills.push(fill);
      this.#fees += fee;
      this.#spreadCosts += fill.spreadCost;
      const units = lots * this.#lotUnit;
      this.#cash -= units * price + fee;
      this.#turnover += Math.abs(units * price) / this.#lastEquity;
    }
    this.#units = this.positionLots * this.#lotUnit;
  }

  #grow(): void {
    const grown = new Float64Array(Math.max(1024, this.#equity.length * 2));
    grown.set(this.#equity);
    this.#equity = grown;
  }
}
