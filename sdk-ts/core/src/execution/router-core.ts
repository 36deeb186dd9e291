import { BoundedLog } from "./bounded-log.ts";
import { chargeDay, chargeFunding, type Financed, type FundingRate } from "./financing.ts";
import { compileInstrument } from "./instrument-spec.ts";
import type { LedgerBook } from "./ledger-book.ts";
import { RouterLedger } from "./router-ledger.ts";
import type { FillOutcome, FillReport, OpeningRefusal, RouterOptions } from "./router-options.ts";
import {
  type BookId,
  isFinal,
  type OrderState,
  type RouterOrder,
  remainingLots,
} from "./router-order.ts";
import { RouterOrders } from "./router-orders.ts";
import type {
  AccountRuin,
  Book,
  BookedFill,
  RouterSnapshot,
  StrategyAccount,
} from "./router-state.ts";

/**
 * The router's memory: books, money, orders and executions, what reports do to them, and the snapshot.
 * It decides nothing; {@link OrderRouter} does.
 */
export class RouterCore {
  readonly ledger: RouterLedger;
  readonly orders: RouterOrders;
  /** Executed rebalances. */
  readonly batches: BoundedLog<true>;
  /** True while opening orders are held back because books and broker differ. */
  isOpeningRefusal = false;
  /** The mark at which its equity was 0 or below: it opens nothing ever after. Undefined: there was none. */
  ruin: AccountRuin | undefined;
  readonly #fills: BoundedLog<BookedFill>;

  constructor(options: RouterOptions, snapshot?: RouterSnapshot) {
    const compiled = options.instruments.map((spec) => compileInstrument(spec));
    const instruments = new Map(compiled.map((spec) => [spec.symbol, spec]));
    this.ledger = new RouterLedger(
      instruments,
      snapshot?.accountCash ?? options.initialCash,
      snapshot?.limits ?? options.limits ?? {},
      snapshot === undefined ? options.money : snapshot.money,
    );
    this.orders = new RouterOrders(options.closedOrdersMax ?? 10_000);
    this.#fills = new BoundedLog(options.executionsMax ?? 50_000);
    this.batches = new BoundedLog(options.batchesMax ?? 1_000);
    if (snapshot !== undefined) {
      this.#load(snapshot);
    }
  }

  /** Plain data, independent of later changes. What never changes is shared: targets, terms, fills and limits. */
  snapshot(): RouterSnapshot {
    const financed = this.#financedSnapshot();
    return {
      version: 1,
      accountCash: this.ledger.accountCash,
      openingShut: this.isOpeningRefusal,
      limits: this.ledger.limits,
      ...(this.ledger.money === undefined ? {} : { money: this.ledger.money }),
      ...(this.isRuined ? { isRuined: true as const } : {}),
      ...(this.ruin === undefined || this.ruin === unknownRuin ? {} : { ruin: this.ruin }),
      ...(financed === undefined ? {} : { financed }),
      marks: [...this.ledger.marks],
      strategies: copies(this.ledger.strategies.values()),
      books: copies(this.ledger.books.values()),
      openOrders: copies(this.orders.open()),
      closedOrders: copies(this.orders.closed()),
      fills: this.#fills.values(),
      batches: this.batches.keys(),
    };
  }

  /** Its equity was 0 or below at a mark. */
  get isRuined(): boolean {
    return this.ruin !== undefined;
  }

  /** Why nothing may be opened now; undefined if it may. */
  get openingShut(): OpeningRefusal | undefined {
    if (this.isRuined) return "ACCOUNT_RUINED";
    if (this.isOpeningRefusal) return "OPENING_SHUT";
    for (const { origin } of this.orders.open()) if (origin === "margin") return "MARGIN_CALL";
    return undefined;
  }

  /** New mark of an instrument; one that is not finite is ignored. */
  onMark(instrument: string, mark: number): void {
    if (Number.isFinite(mark)) {
      this.ledger.marks.set(instrument, mark);
    }
  }

  onSent(orderId: string): boolean {
    const order = this.orders.get(orderId);
    if (order?.state !== "pending" && order?.state !== "unknown") return false;
    order.state = "sent";
    return true;
  }

  /** No answer in time: counted as working, and nothing that opens is sent for its book until it is looked up. */
  onUnknown(orderId: string): boolean {
    const order = this.orders.get(orderId);
    if (order?.state !== "pending" && order?.state !== "sent") return false;
    order.state = "unknown";
    return true;
  }

  onAccepted(orderId: string): boolean {
    const order = this.orders.get(orderId);
    if (order?.state !== "pending" && order?.state !== "sent" && order?.state !== "unknown") {
      return false;
    }
    order.state = "accepted";
    return true;
  }

  onRejected(orderId: string, reason: string): boolean {
    return this.#end(orderId, "rejected", reason) !== undefined;
  }

  /** An order that the broker cut for good leaves nothing to be made up for: its target ends at what it has reached. */
  onCancelled(orderId: string, reason = ""): boolean {
    const ended = this.#end(orderId, "cancelled", reason);
    if (ended === undefined) return false;
    if (reason === "REDUCED_TO_BUYING_POWER" || reason === "MARK_NOT_POSITIVE") {
      this.#endTarget(ended);
    }
    return true;
  }

  onExpired(orderId: string, reason = ""): boolean {
    return this.#end(orderId, "expired", reason) !== undefined;
  }

  /**
   * Books a fill, whatever the order's state, once per execution id.
   * @throws {RangeError} when lots are 0 or any number is not finite: nothing of it could be booked
   */
  onFill(report: FillReport): FillOutcome {
    checkBookable(report);
    const { executionId, orderId, lots, price, fee } = report;
    if (this.#fills.has(executionId)) {
      return "duplicate";
    }
    const order = this.orders.get(orderId);
    const id = order ?? report.book;
    if (id === undefined) {
      return "unknown_order";
    }
    const book = this.ledger.book(id);
    const { world, strategy, instrument } = book;
    this.#fills.set(executionId, {
      executionId,
      orderId,
      lots,
      price,
      fee,
      world,
      strategy,
      instrument,
    });
    return this.#book(book, order, report);
  }

  /**
   * Books a fill of an order that is at hand, for a caller whose broker reports each execution once: it is not
   * remembered.
   * @throws {RangeError} as `onFill`
   */
  onOwnFill(book: LedgerBook, order: RouterOrder, fill: BookableFill): FillOutcome {
    checkBookable(fill);
    return this.#book(book, order, fill);
  }

  /**
   * Charges the calendar day that ends at a midnight, once, on what is held and marked now. Nothing is charged where the
   * account's money has no rates, and nothing once the account is ruined.
   */
  finance(midnightMs: number): ReturnType<typeof chargeDay> | undefined {
    const terms = this.ledger.money?.financing;
    if (terms === undefined || this.isRuined || midnightMs <= this.ledger.financedMs)
      return undefined;
    this.ledger.financedMs = midnightMs;
    return chargeDay(this.ledger, terms);
  }

  /** Charges funding on what is held and marked now; nothing once the account is ruined. */
  fund(rates: readonly FundingRate[]): Pick<Financed, "funding"> | undefined {
    return this.isRuined ? undefined : chargeFunding(this.ledger, rates);
  }

  /** Account cash plus market value. */
  equity(): number {
    return this.ledger.equity();
  }

  /** Net lots held and working by instrument, for those that a book was ever made of. */
  netLots(): Map<string, number> {
    const net = new Map<string, number>();
    for (const { instrument, quantity } of this.ledger.books.values()) {
      net.set(instrument, (net.get(instrument) ?? 0) + quantity);
    }
    for (const order of this.orders.open()) {
      net.set(order.instrument, (net.get(order.instrument) ?? 0) + remainingLots(order));
    }
    return net;
  }

  /** |Value| of lots at the last mark; NaN before the first, unless there are none. */
  valueOf(instrument: string, lots: number): number {
    if (lots === 0) return 0;
    const mark = this.ledger.marks.get(instrument) ?? Number.NaN;
    return Math.abs(lots * this.ledger.instrument(instrument).lotUnit * mark);
  }

  /** Capital of a strategy now; 0 before its first allocation. See {@link RouterLedger.capital}. */
  capital(
    world: string,
    strategy: string,
    markAt?: (instrument: string) => number | undefined,
  ): number {
    const account = this.ledger.strategy(world, strategy);
    return account === undefined ? 0 : this.ledger.capital(account, markAt);
  }

  book(id: BookId): Readonly<Book> | undefined {
    return this.ledger.findBook(id);
  }

  books(): Readonly<Book>[] {
    return [...this.ledger.books.values()];
  }

  strategies(): Readonly<StrategyAccount>[] {
    return [...this.ledger.strategies.values()];
  }

  order(id: string): Readonly<RouterOrder> | undefined {
    return this.orders.get(id);
  }

  openOrders(id?: BookId): readonly Readonly<RouterOrder>[] {
    if (id === undefined) return [...this.orders.open()];
    const book = this.ledger.findBook(id);
    return book === undefined ? [] : [...book.working];
  }

  /** @returns the order, if this ended it */
  #end(orderId: string, state: OrderState, reason: string): RouterOrder | undefined {
    const order = this.orders.get(orderId);
    if (order === undefined || isFinal(order.state)) {
      return undefined;
    }
    order.state = state;
    order.reason = reason;
    this.orders.close(order, this.ledger.book(order));
    return order;
  }

  #endTarget({ origin, lots, filledLots, ...order }: Readonly<RouterOrder>): void {
    const book = this.ledger.book(order);
    if (origin === "plain" || book.target === null) return;
    let expected = book.quantity;
    for (const open of book.working) expected += remainingLots(open);
    const missing = book.target.lots - expected;
    if (missing !== 0 && missing > 0 === lots > filledLots) {
      const { reduceTo: _, ...target } = book.target;
      book.target = { ...target, lots: expected };
    }
  }

  #book(book: LedgerBook, order: RouterOrder | undefined, fill: BookableFill): FillOutcome {
    const { lots, price, fee } = fill;
    this.ledger.trade(book, lots, price, fee, false);
    return order === undefined ? "booked" : this.#countFill(order, book, lots);
  }

  #countFill(order: RouterOrder, book: LedgerBook, lots: number): FillOutcome {
    order.filledLots += lots;
    const isWhole = Math.abs(order.filledLots) >= Math.abs(order.lots);
    if (!isFinal(order.state)) {
      order.state = isWhole ? "filled" : "partial";
      if (isWhole) {
        this.orders.close(order, book);
      }
    }
    return Math.abs(order.filledLots) > Math.abs(order.lots) ? "overfilled" : "booked";
  }

  #financedSnapshot(): RouterSnapshot["financed"] {
    const { financedMs, financed } = this.ledger;
    const { funding, ...ofDays } = financed;
    const isCharged = Number.isFinite(financedMs);
    if (!isCharged && funding === 0) return undefined;
    return {
      ...ofDays,
      ...(funding === 0 ? {} : { funding }),
      ...(isCharged ? { timeMs: financedMs } : {}),
    };
  }

  #load(snapshot: RouterSnapshot): void {
    this.isOpeningRefusal = snapshot.openingShut;
    this.ruin = snapshot.ruin ?? (snapshot.isRuined === true ? unknownRuin : undefined);
    if (snapshot.financed !== undefined) {
      const { timeMs = Number.NEGATIVE_INFINITY, ...financed } = snapshot.financed;
      Object.assign(this.ledger.financed, financed);
      this.ledger.financedMs = timeMs;
    }
    for (const [instrument, mark] of snapshot.marks) {
      this.ledger.marks.set(instrument, mark);
    }
    for (const saved of snapshot.strategies) {
      Object.assign(this.ledger.strategyOrNew(saved.world, saved.strategy), saved);
    }
    for (const book of snapshot.books) {
      this.ledger.load(book);
    }
    for (const order of copies([...snapshot.closedOrders, ...snapshot.openOrders])) {
      if (isFinal(order.state)) this.orders.addClosed(order);
      else this.orders.add(order, this.ledger.book(order));
    }
    for (const fill of snapshot.fills) {
      this.#fills.set(fill.executionId, fill);
    }
    for (const batch of snapshot.batches) {
      this.batches.set(batch, true);
    }
  }
}

/** That of a snapshot that does not say when it was. */
const unknownRuin: AccountRuin = { timeMs: Number.NaN, equity: Number.NaN };

/** What of a fill is booked. */
type BookableFill = Pick<FillReport, "executionId" | "lots" | "price" | "fee">;

function checkBookable({ executionId, lots, price, fee }: BookableFill): void {
  const isBookable = Number.isFinite(lots) && Number.isFinite(price) && Number.isFinite(fee);
  if (lots === 0 || !isBookable) {
    throw new RangeError(`fill ${executionId} has no bookable lots, price or fee`);
  }
}

function copies<T extends object>(records: Iterable<T>): T[] {
  return Array.from(records, (record) => ({ ...record }));
}
