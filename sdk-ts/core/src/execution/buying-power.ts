import { type Exposure, FILL_SLACK, lotsWithinPower } from "./account-money.ts";
import type { RouterLedger } from "./router-ledger.ts";
import { remainingLots } from "./router-order.ts";
import type { RouterOrders } from "./router-orders.ts";

/** What the orders of an account may still open, by its ledger and its working orders. */
export class BuyingPower {
  readonly #ledger: RouterLedger;
  readonly #orders: RouterOrders;
  /** Net lots by instrument, of all but the one that is asked about, for one calculation. */
  readonly #others = new Map<string, number>();

  constructor(ledger: RouterLedger, orders: RouterOrders) {
    this.#ledger = ledger;
    this.#orders = orders;
  }

  /**
   * The part of an order's lots that the account may open, valued at the last marks.
   *
   * @param price of the order, where it is above the mark. @default the mark
   * @returns signed lots, toward zero; NaN if a mark is missing
   */
  lotsToOpen(instrument: string, lots: number, price = 0): number {
    const { money, marks } = this.#ledger;
    if (money === undefined) return lots;
    const mark = marks.get(instrument) ?? Number.NaN;
    const exposure = this.#exposure(instrument, Math.max(mark, price), 0, this.#ledger.equity());
    return lotsWithinPower(money, instrument, lots, exposure);
  }

  /**
   * The part of a working order's lots that may fill at a price. Other instruments are valued at the marks of `markOf`,
   * which must not be later than the fill.
   *
   * @returns signed lots, toward zero
   */
  lotsToFill(
    instrument: string,
    lots: number,
    price: number,
    markOf: (instrument: string) => number,
  ): number {
    const { money } = this.#ledger;
    if (money === undefined) return lots;
    const priceOf = (symbol: string): number => (symbol === instrument ? price : markOf(symbol));
    let equity = this.#ledger.accountCash;
    for (const book of this.#ledger.books.values()) {
      if (book.quantity === 0) continue;
      equity += book.quantity * book.spec.lotUnit * priceOf(book.instrument);
    }
    const exposure = this.#exposure(instrument, price, lots, equity, priceOf);
    return lotsWithinPower(money, instrument, lots, exposure, FILL_SLACK);
  }

  /** Σ over instruments of |net held and working lots| × value of a lot, with `lots` more of one. */
  grossWith(instrument: string, lots: number): number {
    const mark = this.#ledger.marks.get(instrument) ?? Number.NaN;
    const { otherGross, netLots, lotValue } = this.#exposure(instrument, mark, 0, 0);
    return otherGross + (netLots + lots === 0 ? 0 : Math.abs(netLots + lots) * lotValue);
  }

  /** @param without lots of the instrument's working orders that are not counted */
  #exposure(
    instrument: string,
    price: number,
    without: number,
    equity: number,
    priceOf = (symbol: string): number => this.#ledger.marks.get(symbol) ?? Number.NaN,
  ): Exposure {
    const others = this.#others;
    if (others.size > 0) others.clear();
    let netLots = 0;
    for (const book of this.#ledger.books.values()) {
      if (book.instrument === instrument) netLots += book.quantity;
      else others.set(book.instrument, (others.get(book.instrument) ?? 0) + book.quantity);
    }
    for (const order of this.#orders.open()) {
      const lots = remainingLots(order);
      if (order.instrument === instrument) netLots += lots;
      else others.set(order.instrument, (others.get(order.instrument) ?? 0) + lots);
    }
    netLots -= without;
    let otherGross = 0;
    for (const [symbol, lots] of others) {
      if (lots === 0) continue;
      otherGross += Math.abs(lots * this.#ledger.instrument(symbol).lotUnit * priceOf(symbol));
    }
    const { lotUnit } = this.#ledger.instrument(instrument);
    return { equity, otherGross, netLots, lotValue: lotUnit * Math.abs(price) };
  }
}
