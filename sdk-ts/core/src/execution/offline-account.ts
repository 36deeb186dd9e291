import type { AccountMoney } from "./account-money.ts";
import type { FundingRate } from "./financing.ts";
import { heldWeight } from "./held-weight.ts";
import type { LedgerBook } from "./ledger-book.ts";
import { marginDemand } from "./margin-call.ts";
import { MarkTable, type OfflineExposure } from "./mark-table.ts";
import { Midnights } from "./midnights.ts";
import { OfflineBooking } from "./offline-booking.ts";
import { OfflineLine } from "./offline-line.ts";
import type {
  OfflineAccountOptions,
  OfflinePosition,
  OfflineRefusal,
  OfflineTarget,
  OfflineTotals,
} from "./offline-records.ts";
import { OrderRouter } from "./order-router.ts";
import type { RouterLedger } from "./router-ledger.ts";
import type { TargetInput } from "./router-options.ts";
import type { RouterEffect, RouterOrder } from "./router-order.ts";
import type { StrategyAccount } from "./router-state.ts";
import type { BrokerCancel } from "./simulated-broker.ts";
import type { SimulatedFill } from "./simulated-order.ts";
import { type StrayRecord, StrayTracker } from "./stray-tracker.ts";
import { planTargets } from "./target-moment.ts";

/**
 * One strategy over one or several instruments, bar by bar, through the same order router and broker that paper uses.
 *
 * A target is sized at its instrument's last close with the equity of the whole account at that moment, and fills at
 * the open of the instrument's next bar with costs. At each bucket end call `financeBefore`, `bar` for every instrument
 * with a bar there, `fund` for the rates that are due, `financeAt` and `settle`, then for the targets `isStray`,
 * `isShort` and `takeTargets`, then `mark`. With one instrument `step` does all of it but the financing, since it knows
 * no times. Nothing is allocated while targets stay and no order works. Beyond 2^53 lots quantities are the nearest
 * floats; full exits stay exact. A NaN target keeps the previous target; a NaN close keeps the previous mark.
 *
 * Cash, marks and positions are those of the router's ledger; nothing here keeps them a second time.
 */
export class OfflineAccount {
  readonly fills: SimulatedFill[];
  readonly orders: Readonly<RouterOrder>[] = [];
  readonly refusals: OfflineRefusal[] = [];
  readonly #router: OrderRouter;
  readonly #ledger: RouterLedger;
  readonly #strategy: StrategyAccount;
  /** Those of the strategy. */
  readonly #books: readonly LedgerBook[];
  readonly #booking: OfflineBooking;
  readonly #lines: readonly OfflineLine[];
  readonly #strays: StrayTracker;
  readonly #marks: MarkTable;
  readonly #midnights: Midnights | undefined;
  /** The next midnight to charge; NaN before the first mark, ∞ where nothing is charged. */
  #midnightMs: number;

  constructor(options: OfflineAccountOptions) {
    const { instruments, capital, rowsExpected = 4096 } = options;
    const { world = "offline", strategy = "strategy" } = options;
    let orders = 0;
    const counter = {
      orderId: () => `q${++orders}`,
      hashHex: String,
    };
    const ids = options.hashHex === undefined ? counter : { hashHex: options.hashHex };
    const shared = { instruments, initialCash: capital, ...ids };
    const { limits, money } = options;
    this.#router = new OrderRouter({
      ...{ account: "offline", ...shared },
      // Offline nothing comes late.
      closedOrdersMax: 0,
      ...(limits === undefined ? {} : { limits }),
      ...(money === undefined ? {} : { money }),
    });
    this.#router.setAllocation({ world, strategy, share: 1, equity: capital });
    this.#ledger = this.#router.core.ledger;
    this.#strategy = this.#ledger.strategyOrNew(world, strategy);
    this.#books = this.#ledger.booksOf(world, strategy);
    this.#booking = new OfflineBooking(this.#router, capital);
    this.fills = this.#booking.fills;
    this.#lines = instruments.map((one) => {
      const id = { world, strategy, instrument: one.symbol };
      return new OfflineLine(one, id, this.#ledger.marks.of(one.symbol), this.#booking);
    });
    this.#booking.setLines(this.#lines);
    this.#strays = new StrayTracker(instruments.length);
    this.#marks = new MarkTable(rowsExpected, instruments.length);
    const zone = money?.financing?.zone;
    this.#midnights = zone === undefined ? undefined : new Midnights(zone);
    this.#midnightMs = zone === undefined ? Number.POSITIVE_INFINITY : Number.NaN;
  }

  /**
   * One bar of the only instrument: working orders fill at its open, then the target is taken at its close.
   *
   * @param row absolute row, increasing; it is the bucket of the orders and part of the execution ids
   * @param target fraction of the capital, NaN to keep the previous one
   * @param sizedRow row at which it was last to be sized. @default none
   */
  step(
    row: number,
    open: number,
    high: number,
    low: number,
    close: number,
    target: number,
    sizedRow = Number.NaN,
  ): void {
    this.bar(0, row, open, high, low, close);
    if (this.#isMarginShort()) this.#meetMargin(() => row, row);
    const line = this.#lines[0]!;
    const value = Number.isNaN(target) ? line.target : target;
    const resize = this.isStray(0);
    const isDue = resize || value !== line.target || sizedRow > line.sizedRow;
    if (isDue || this.isShort(0)) {
      this.#takeOnly(line, row, value, sizedRow, resize);
    }
    this.mark();
  }

  /**
   * A bar of an instrument: working orders fill at its open, its close is the mark. Row numbers increase within each
   * instrument.
   */
  bar(at: number, row: number, open: number, high: number, low: number, close: number): void {
    const line = this.#lines[at]!;
    if (line.working > 0 || line.sameBarClose) this.#play(line, row, open, high, low, close);
    if (!Number.isNaN(close)) line.mark.price = close;
  }

  /** Plays a bar to the broker. Apart from `bar`, so that a bar on which no order works stays cheap. */
  #play(
    line: OfflineLine,
    row: number,
    open: number,
    high: number,
    low: number,
    close: number,
  ): void {
    const { instrument } = line.id;
    const openTimeMs = row - 1;
    const bucketEndMs = row;
    line.broker.onBar({ instrument, row, openTimeMs, bucketEndMs, open, high, low, close });
    for (const cancel of line.broker.drainCancelled()) this.#cutByBroker(line, cancel, row);
  }

  /** Charges the midnights before a bucket end, on what was held and marked until now: call it before its bars. */
  financeBefore(timeMs: number): void {
    while (this.#midnightMs < timeMs) this.#charge();
  }

  /**
   * Charges funding on what is held and marked now. At a bucket end call it after its bars and before `financeAt`;
   * between two of them after `financeBefore`.
   */
  fund(rates: readonly FundingRate[]): void {
    this.#router.core.fund(rates);
  }

  /**
   * Charges a midnight that is a bucket end, on what is held after its bars, at their closes: call it before `settle`.
   * The first bucket end begins the first day.
   */
  financeAt(timeMs: number): void {
    if (this.#midnightMs === timeMs) this.#charge();
    else if (Number.isNaN(this.#midnightMs)) this.#midnightMs = this.#midnights!.after(timeMs);
  }

  /**
   * Reduces or closes positions where the account's money demands it at the closes that came last; see `meetDemand`.
   *
   * @param rowOf last row of an instrument that had begun, by its place: orders fill on the one after it
   * @param timeMs end of the bucket at whose closes it is called, milliseconds
   */
  settle(rowOf: (at: number) => number, timeMs: number): void {
    if (this.#isMarginShort()) this.#meetMargin(rowOf, timeMs);
  }

  /** Whether the account's money may demand that positions are reduced or closed. */
  #isMarginShort(): boolean {
    const { money } = this.#ledger;
    return money !== undefined && this.#isShortOf(money);
  }

  #isShortOf(money: AccountMoney): boolean {
    let equity = this.#ledger.accountCash;
    let gross = 0;
    for (let at = 0; at < this.#lines.length; at++) {
      const { value } = this.#lines[at]!;
      equity += value;
      gross += Math.abs(value);
    }
    return marginDemand(money, equity, gross) !== "none" || this.isRuined;
  }

  #meetMargin(rowOf: (at: number) => number, timeMs: number): void {
    if (!this.#router.isMarginDue) return;
    const { effects } = this.#router.meetMargin(
      ({ instrument }) => rowOf(this.#lines.findIndex(({ id }) => id.instrument === instrument)),
      timeMs,
    );
    for (const effect of effects) this.#perform(effect);
  }

  /** True while an order waits for its bar. */
  get isWorking(): boolean {
    return this.#lines.some(({ working }) => working > 0);
  }

  /** True once the equity was 0 or below at a bucket end: everything is closed, and nothing is opened ever after. */
  get isRuined(): boolean {
    return this.#router.core.isRuined;
  }

  /**
   * Whether the weight held of an instrument has strayed from its target by more than its drift, at the marks of now:
   * then its target is to be sized again.
   */
  isStray(at: number): boolean {
    const line = this.#lines[at]!;
    return line.drift !== 0 && this.#hasStrayed(line);
  }

  #hasStrayed({ book, mark }: OfflineLine): boolean {
    if (book === undefined) return false;
    return this.#router.hasStrayed(book, mark.price, this.#equityNow());
  }

  /**
   * Whether orders of a target with a drift are missing, because a limit of the account refused them: it is taken again,
   * with the quantity that it has.
   */
  isShort(at: number): boolean {
    const { drift, book } = this.#lines[at]!;
    return drift !== 0 && book !== undefined && this.#router.missingLots(book) !== 0;
  }

  /**
   * Takes the targets of one moment, all sized with the same capital; see `planTargets`. A target whose instrument has
   * no mark yet is left out. One that would open at a mark of 0 or below is refused; exits are made at any mark.
   *
   * @returns whether each target was taken or refused, in their order
   */
  takeTargets(targets: readonly OfflineTarget[]): readonly boolean[] {
    const [only] = targets;
    if (only !== undefined && targets.length === 1) {
      const { at, row, value, sizedRow = Number.NaN, resize = false } = only;
      return [this.#takeOnly(this.#lines[at]!, row, value, sizedRow, resize)];
    }
    const capital = this.#ledger.capital(this.#strategy, undefined, this.#books);
    const taken = targets.map(({ at }) => !Number.isNaN(this.#lines[at]!.mark.price));
    const own = targets.filter((_, k) => taken[k]);
    const lines = own.map(({ at }) => this.#lines[at]!);
    const inputs = own.map(({ row, value, sizedRow = Number.NaN, resize = false }, k) =>
      lines[k]!.targetInput(row, value, sizedRow, resize, capital),
    );
    const { order, cut } = planTargets(this.#router.core, inputs);
    // All are sized before any order of theirs fills.
    const effects = order.map((index) => {
      return this.#take(lines[index]!, { ...inputs[index]!, ...cut });
    });
    order.forEach((index, k) => {
      for (const effect of effects[k]!) this.#send(lines[index]!, effect);
    });
    return taken;
  }

  /** A target that is alone in its moment, which needs no plan. */
  #takeOnly(
    line: OfflineLine,
    row: number,
    value: number,
    sizedRow: number,
    resize: boolean,
  ): boolean {
    if (Number.isNaN(line.mark.price)) return false;
    const capital = this.#ledger.capital(this.#strategy, undefined, this.#books);
    const effects = this.#take(line, line.targetInput(row, value, sizedRow, resize, capital));
    for (const effect of effects) this.#send(line, effect);
    return true;
  }

  #take(line: OfflineLine, input: TargetInput): readonly RouterEffect[] {
    const { value, bucket: row, sizedRow = line.sizedRow } = input;
    line.target = value;
    line.sizedRow = sizedRow;
    const { outcome, effects, refused } = this.#router.setTarget(input, line.book);
    line.book ??= this.#ledger.findBook(line.id);
    const { instrument } = line.id;
    if (outcome === "bad_mark") {
      this.refusals.push({ instrument, lots: 0, reason: "MARK_NOT_POSITIVE", row, isFill: false });
    }
    for (const { lots, reason } of refused) {
      this.refusals.push({ instrument, lots, reason, row, isFill: false });
    }
    return effects;
  }

  /** Records equity and exposure at a bucket end. */
  mark(): void {
    let equity = this.#ledger.accountCash;
    let gross = 0;
    let net = 0;
    let largest = 0;
    for (let at = 0; at < this.#lines.length; at++) {
      const line = this.#lines[at]!;
      const { value } = line;
      const size = Math.abs(value);
      line.settledMark = line.mark.price;
      equity += value;
      net += value;
      gross += size;
      if (size > largest) largest = size;
    }
    this.#booking.lastEquity = equity;
    this.#noteStrays();
    this.#marks.add(equity, gross, net, largest);
  }

  /** Drops the orders, refusals, fills and marks recorded so far, for an account that trades on without end. Totals keep them. */
  forget(): void {
    this.orders.length = 0;
    this.refusals.length = 0;
    this.fills.length = 0;
    this.#marks.forget();
  }

  /** Equity at each call of `mark`, in order, since the last `forget`. A view: it is stale once more marks make the column grow. */
  equity(): Float64Array {
    return this.#marks.equity();
  }

  /** Exposure at each call of `mark`, in order, since the last `forget`; in new columns. */
  exposure(): OfflineExposure {
    return this.#marks.exposure();
  }

  totals(): OfflineTotals {
    const sum = (of: (line: OfflineLine) => number): number =>
      this.#lines.reduce((total, line) => total + of(line), 0);
    return {
      fees: this.#booking.fees,
      spreadCosts: sum(({ spreadCosts }) => spreadCosts),
      turnover: this.#booking.turnover,
      realisedPnl: sum(({ book }) => book?.realisedPnl ?? 0),
      barsDone: this.#marks.taken,
      financed: { ...this.#ledger.financed },
    };
  }

  /** Turnover so far; see {@link OfflineTotals}. */
  get turnover(): number {
    return this.#booking.turnover;
  }

  /** Equity at the last mark; the capital before the first. */
  get lastEquity(): number {
    return this.#booking.lastEquity;
  }

  holding(at = 0): OfflinePosition {
    const { book, lotUnit, mark, spreadCosts } = this.#lines[at]!;
    const {
      quantity: lots = 0,
      averageCost = 0,
      realisedPnl = 0,
      fees = 0,
      borrowFees = 0,
      funding = 0,
    } = book ?? {};
    const unrealisedPnl = lots === 0 ? 0 : lots * lotUnit * (mark.price - averageCost);
    return {
      lots,
      averageCost,
      mark: mark.price,
      realisedPnl,
      unrealisedPnl,
      fees,
      spreadCosts,
      borrowFees,
      funding,
    };
  }

  /** How far the held weight of an instrument was from its target at the worst mark; undefined if it never held any. */
  largestStray(at: number): StrayRecord | undefined {
    return this.#strays.largest(at);
  }

  #charge(): void {
    this.#router.core.finance(this.#midnightMs);
    this.#midnightMs = this.#midnights!.after(this.#midnightMs);
  }

  #equityNow(): number {
    let equity = this.#ledger.accountCash;
    for (let at = 0; at < this.#lines.length; at++) {
      equity += this.#lines[at]!.value;
    }
    return equity;
  }

  /** At the equity of now. */
  #noteStrays(): void {
    const { lastEquity } = this.#booking;
    for (let at = 0; at < this.#lines.length; at++) {
      const line = this.#lines[at]!;
      const { book, working, target } = line;
      if (book === undefined || book.quantity === 0 || working > 0) continue;
      const held = heldWeight(book.quantity, line.lotUnit, line.mark.price, lastEquity);
      this.#strays.note(at, target, held, this.#marks.taken);
    }
  }

  #perform(effect: RouterEffect): void {
    const { core } = this.#router;
    const order = effect.kind === "send" ? effect.order : core.order(effect.orderId)!;
    const line = this.#lines.find(({ id }) => id.instrument === order.instrument)!;
    if (effect.kind === "send") {
      this.#send(line, effect);
    } else if (line.broker.cancel(order.id) === "cancelled") {
      line.working--;
      core.onCancelled(order.id);
    }
  }

  #send(line: OfflineLine, effect: RouterEffect): void {
    if (effect.kind !== "send") {
      return;
    }
    const { order } = effect;
    this.orders.push(order);
    line.working++;
    this.#router.core.onSent(order.id);
    const outcome = line.broker.accept(order);
    if (!outcome.accepted) {
      line.working--;
      this.#router.core.onRejected(order.id, outcome.reason);
      return;
    }
    this.#router.core.onAccepted(order.id);
  }

  /** What the broker did not fill of an order: it was already taken off the working ones if anything filled. */
  #cutByBroker(line: OfflineLine, { id, reason }: BrokerCancel, row: number): void {
    const order = this.#router.core.order(id)!;
    const lots = order.lots - order.filledLots;
    if (order.filledLots === 0) line.working--;
    this.#router.core.onCancelled(id, reason);
    if (reason === "NOTHING_TO_REDUCE") return;
    this.refusals.push({ instrument: line.id.instrument, lots, reason, row, isFill: true });
  }
}
