import type { BrokerPositions } from "./broker-positions.ts";
import type { FundingRate } from "./financing.ts";
import { heldWeight } from "./held-weight.ts";
import { marginDemand } from "./margin-call.ts";
import { MarkTable, type OfflineExposure } from "./mark-table.ts";
import { Midnights } from "./midnights.ts";
import type {
  OfflineAccountOptions,
  OfflineInstrument,
  OfflineLine,
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
import { type BrokerCancel, SimulatedBroker } from "./simulated-broker.ts";
import type { SimulatedFill } from "./simulated-order.ts";
import { type StrayRecord, StrayTracker } from "./stray-tracker.ts";
import { planTargets } from "./target-moment.ts";

/** Finished orders and executions remembered; a few are enough, since offline nothing comes late or twice. */
const FINISHED_MAX = 16;

/**
 * One strategy over one or several instruments, bar by bar, through the same order router and broker that paper uses.
 *
 * A target is sized at its instrument's last close with the equity of the whole account at that moment, and fills at
 * the open of the instrument's next bar with costs. At each bucket end call `financeBefore`, `bar` for every instrument
 * with a bar there, `fund` for the rates that are due, `financeAt` and `settle`, then for the targets `isStray`, `isShort` and
 * `takeTargets`, then `mark`. With one instrument `step` does all of it but the financing, since it knows no times.
 * Nothing is allocated while targets stay and no order works. Beyond 2^53 lots quantities are the nearest floats; full
 * exits stay exact. A NaN target keeps the previous target; a NaN close keeps the previous mark.
 *
 * Cash, marks and positions are those of the router's ledger; nothing here keeps them a second time.
 */
export class OfflineAccount {
  readonly fills: SimulatedFill[] = [];
  readonly orders: Readonly<RouterOrder>[] = [];
  readonly refusals: OfflineRefusal[] = [];
  readonly #router: OrderRouter;
  readonly #ledger: RouterLedger;
  readonly #strategy: StrategyAccount;
  readonly #lines: readonly OfflineLine[];
  readonly #strays: StrayTracker;
  readonly #marks: MarkTable;
  readonly #settledMarkOf: (instrument: string) => number;
  readonly #midnights: Midnights | undefined;
  /** The next midnight to charge; NaN before the first mark, ∞ where nothing is charged. */
  #midnightMs: number;
  #lastEquity: number;
  #fees = 0;
  #turnover = 0;

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
    const memory = { closedOrdersMax: FINISHED_MAX, executionsMax: FINISHED_MAX };
    const { limits, money } = options;
    this.#router = new OrderRouter({
      ...{ account: "offline", ...shared, ...memory },
      ...(limits === undefined ? {} : { limits }),
      ...(money === undefined ? {} : { money }),
    });
    this.#router.setAllocation({ world, strategy, share: 1, equity: capital });
    this.#ledger = this.#router.core.ledger;
    this.#strategy = this.#ledger.strategyOrNew(world, strategy);
    this.#lines = instruments.map((one) => this.#newLine(one, world, strategy));
    this.#strays = new StrayTracker(instruments.length);
    this.#marks = new MarkTable(rowsExpected);
    const bySymbol = new Map(this.#lines.map((line) => [line.id.instrument, line]));
    this.#settledMarkOf = (instrument) => bySymbol.get(instrument)!.settledMark;
    this.#lastEquity = capital;
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
    if (this.#ledger.money !== undefined) this.settle(() => row);
    const line = this.#lines[0]!;
    const value = Number.isNaN(target) ? line.target : target;
    const resize = this.isStray(0);
    const isDue = resize || value !== line.target || sizedRow > line.sizedRow;
    if (isDue || this.isShort(0)) {
      this.takeTargets([{ at: 0, row, value, sizedRow, resize }]);
    }
    this.mark();
  }

  /**
   * A bar of an instrument: working orders fill at its open, its close is the mark. Row numbers increase within each
   * instrument.
   */
  bar(at: number, row: number, open: number, high: number, low: number, close: number): void {
    const line = this.#lines[at]!;
    if (line.working > 0 || line.sameBarClose) {
      const { instrument } = line.id;
      const rows = { row, openTimeMs: row - 1, bucketEndMs: row };
      line.broker.onBar({ instrument, ...rows, open, high, low, close });
      for (const cancel of line.broker.drainCancelled()) this.#cutByBroker(line, cancel, row);
    }
    if (!Number.isNaN(close)) {
      line.mark.price = close;
    }
  }

  /** Charges the midnights before a bucket end, on what was held and marked until now: call it before its bars. */
  financeBefore(timeMs: number): void {
    while (this.#midnightMs < timeMs) this.#charge();
  }

  /**
   * Charges funding on what is held and marked now. At a bucket end call it after its bars and before `financeAt`; between
   * two of them after `financeBefore`.
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
   */
  settle(rowOf: (at: number) => number): void {
    const money = this.#ledger.money;
    if (money === undefined) return;
    let equity = this.#ledger.accountCash;
    let gross = 0;
    for (let at = 0; at < this.#lines.length; at++) {
      const { book, lotUnit, mark } = this.#lines[at]!;
      if (book === undefined || book.quantity === 0) continue;
      const value = book.quantity * lotUnit * mark.price;
      equity += value;
      gross += Math.abs(value);
    }
    if (marginDemand(money, equity, gross) === "none" && !this.isRuined) return;
    if (!this.#router.isMarginDue) return;
    const { effects } = this.#router.meetMargin(({ instrument }) =>
      rowOf(this.#lines.findIndex(({ id }) => id.instrument === instrument)),
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
    const { drift, book, compiled, mark } = this.#lines[at]!;
    if (drift === 0 || book === undefined) return false;
    return this.#router.hasStrayed(book, compiled, mark.price, this.#equityNow());
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
    const capital = this.#ledger.capital(this.#strategy);
    const [only] = targets;
    if (only !== undefined && targets.length === 1) return [this.#takeOnly(only, capital)];
    const taken = targets.map(({ at }) => !Number.isNaN(this.#lines[at]!.mark.price));
    const own = targets.filter((_, k) => taken[k]);
    const lines = own.map(({ at }) => this.#lines[at]!);
    const inputs = own.map((target, k) => targetInput(lines[k]!, target, capital));
    const { order, openShare } = planTargets(this.#router.core, inputs);
    // All are sized before any order of theirs fills.
    const effects = order.map((index) => {
      return this.#take(lines[index]!, { ...inputs[index]!, openShare });
    });
    order.forEach((index, k) => {
      for (const effect of effects[k]!) this.#send(lines[index]!, effect);
    });
    return taken;
  }

  /** A target that is alone in its moment, which needs no plan. */
  #takeOnly(target: OfflineTarget, capital: number): boolean {
    const line = this.#lines[target.at]!;
    if (Number.isNaN(line.mark.price)) return false;
    for (const effect of this.#take(line, targetInput(line, target, capital))) {
      this.#send(line, effect);
    }
    return true;
  }

  #take(line: OfflineLine, input: TargetInput): readonly RouterEffect[] {
    const { value, bucket: row, sizedRow = line.sizedRow } = input;
    line.target = value;
    line.sizedRow = sizedRow;
    const { outcome, effects, refused } = this.#router.setTarget(input);
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
      const { book, lotUnit, mark } = line;
      line.settledMark = mark.price;
      if (book !== undefined && book.quantity !== 0) {
        const value = book.quantity * lotUnit * mark.price;
        const size = Math.abs(value);
        equity += value;
        net += value;
        gross += size;
        if (size > largest) largest = size;
      }
    }
    this.#noteStrays(equity);
    this.#marks.add(equity, gross, net, largest);
    this.#lastEquity = equity;
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

  /** Exposure at each call of `mark`, in order; views, as that of `equity`. */
  exposure(): OfflineExposure {
    return this.#marks.exposure();
  }

  totals(): OfflineTotals {
    const sum = (of: (line: OfflineLine) => number): number =>
      this.#lines.reduce((total, line) => total + of(line), 0);
    return {
      fees: this.#fees,
      spreadCosts: sum(({ spreadCosts }) => spreadCosts),
      turnover: this.#turnover,
      realisedPnl: sum(({ book }) => book?.realisedPnl ?? 0),
      barsDone: this.#marks.taken,
      financed: { ...this.#ledger.financed },
    };
  }

  /** Turnover so far; see {@link OfflineTotals}. */
  get turnover(): number {
    return this.#turnover;
  }

  /** Equity at the last mark; the capital before the first. */
  get lastEquity(): number {
    return this.#lastEquity;
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
      const { book, lotUnit, mark } = this.#lines[at]!;
      if (book !== undefined && book.quantity !== 0) {
        equity += book.quantity * lotUnit * mark.price;
      }
    }
    return equity;
  }

  #noteStrays(equity: number): void {
    for (let at = 0; at < this.#lines.length; at++) {
      const line = this.#lines[at]!;
      const { book, working, target } = line;
      if (book === undefined || book.quantity === 0 || working > 0) continue;
      const held = heldWeight(book.quantity, line.lotUnit, line.mark.price, equity);
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

  #bookFill(line: OfflineLine, fill: SimulatedFill): void {
    const { orderId, executionId, lots, price, fee } = fill;
    this.#router.core.onFill({ orderId, executionId, lots, price, fee });
    line.working--;
    this.fills.push(fill);
    this.#fees += fee;
    line.spreadCosts += fill.spreadCost;
    this.#turnover += Math.abs(lots * line.lotUnit * price) / this.#lastEquity;
  }

  #newLine(instrument: OfflineInstrument, world: string, strategy: string): OfflineLine {
    const id = { world, strategy, instrument: instrument.symbol };
    const positions: BrokerPositions = {
      lotsOf: () => line.book?.quantity ?? 0,
      bookFill: (fill) => this.#bookFill(line, fill),
      // At the close that it was sized at, an order has been checked already.
      lotsToFill: ({ instrument: symbol, lots }, price) =>
        instrument.sameBarClose === true
          ? lots
          : this.#router.power.lotsToFill(symbol, lots, price, this.#settledMarkOf),
    };
    const line: OfflineLine = {
      id,
      compiled: this.#ledger.instrument(instrument.symbol),
      lotUnit: Number(instrument.lotSize) * (instrument.multiplier ?? 1),
      notionalMin: instrument.notionalMin ?? 0,
      drift: instrument.drift ?? 0,
      sameBarClose: instrument.sameBarClose ?? false,
      broker: new SimulatedBroker({
        ...instrument,
        instruments: [instrument],
        barsMax: 2,
        finishedMax: FINISHED_MAX,
        positions,
      }),
      mark: this.#ledger.marks.of(instrument.symbol),
      settledMark: Number.NaN,
      book: undefined,
      target: 0,
      sizedRow: -1,
      working: 0,
      spreadCosts: 0,
    };
    return line;
  }
}

/** A target as the router takes it: always of one shape, which is what makes it quick. */
function targetInput(
  { id, mark, notionalMin, drift }: OfflineLine,
  { row, value, sizedRow = Number.NaN, resize = false }: OfflineTarget,
  capital: number,
): TargetInput {
  return {
    world: id.world,
    strategy: id.strategy,
    instrument: id.instrument,
    value,
    bucket: row,
    mark: mark.price,
    notionalMin,
    drift,
    resize,
    capital,
    sizedRow: Number.isNaN(sizedRow) ? undefined : sizedRow,
  };
}
