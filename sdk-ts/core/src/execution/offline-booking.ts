import type { OfflineLine } from "./offline-line.ts";
import type { OrderRouter } from "./order-router.ts";
import type { SimulatedFill } from "./simulated-order.ts";

/** Books the fills of an offline account's brokers in its router, and sums what they cost. */
export class OfflineBooking {
  readonly fills: SimulatedFill[] = [];
  fees = 0;
  /** Σ over fills of notional ÷ equity at the previous mark. */
  turnover = 0;
  /** Equity at the last mark; the capital before the first. Begins as a number, else each store makes an object of it. */
  lastEquity = 0;
  readonly #router: OrderRouter;
  readonly #lines = new Map<string, OfflineLine>();
  readonly #settledMarkOf: (instrument: string) => number;

  constructor(router: OrderRouter, capital: number) {
    this.#router = router;
    this.lastEquity = capital;
    this.#settledMarkOf = (instrument) => this.#lines.get(instrument)!.settledMark;
  }

  /** Names the lines of the account, by whose marks at the last bucket end fills in others are checked. */
  setLines(lines: readonly OfflineLine[]): void {
    for (const line of lines) this.#lines.set(line.id.instrument, line);
  }

  /** Books a fill of an order of a line. */
  book(line: OfflineLine, fill: SimulatedFill): void {
    const { core } = this.#router;
    core.onOwnFill(line.book!, core.orders.get(fill.orderId)!, fill);
    line.working--;
    line.spreadCosts += fill.spreadCost;
    this.fills.push(fill);
    this.fees += fill.fee;
    this.turnover += Math.abs(fill.lots * line.lotUnit * fill.price) / this.lastEquity;
  }

  /** See {@link BuyingPower.lotsToFill}. */
  lotsToFill({ id }: OfflineLine, lots: number, price: number): number {
    return this.#router.power.lotsToFill(id.instrument, lots, price, this.#settledMarkOf);
  }
}
