import type { AccountMoney } from "./account-money.ts";
import type { BrokerPositions } from "./broker-positions.ts";
import type { HashHex } from "./client-order-id.ts";
import type { InstrumentSpec } from "./instrument-spec.ts";
import { marginDemand } from "./margin-call.ts";
import { OrderRouter } from "./order-router.ts";
import type { PretradeLimits } from "./pretrade.ts";
import type { Mark, RouterLedger } from "./router-ledger.ts";
import type { RefusedIntent } from "./router-options.ts";
import type { BookId, RouterEffect, RouterOrder } from "./router-order.ts";
import type { Book } from "./router-state.ts";
import { type BrokerCancel, type CostOptions, SimulatedBroker } from "./simulated-broker.ts";
import type { SimulatedFill } from "./simulated-order.ts";
import { planTargets, type TargetMoment } from "./target-moment.ts";

/** An instrument as an offline run trades it. */
export type OfflineInstrument = InstrumentSpec &
  CostOptions & {
    /** Market orders fill at the close of the bar they were decided on, as market-on-close orders. @default false */
    readonly sameBarClose?: boolean;
    /** Orders worth less than this at the mark are not made, except those that leave nothing held. @default 0 */
    readonly notionalMin?: number;
  };

export interface OfflineAccountOptions {
  /** What is traded, one entry per instrument. Methods name them by their place in the list. */
  readonly instruments: readonly OfflineInstrument[];
  /** Money the strategy starts with. */
  readonly capital: number;
  /** @default no limits */
  readonly limits?: PretradeLimits;
  /** Money rules of the account. @default none binds */
  readonly money?: AccountMoney;
  /** Expected number of marks; the columns grow past it. @default 4096 */
  readonly rowsExpected?: number;
  /** World and strategy the books are kept under. @default "offline", "strategy" */
  readonly world?: string;
  readonly strategy?: string;
  /** Hash of client order ids; offline ids need be unique within the run only. @default a counter */
  readonly hashHex?: HashHex;
}

/** Totals of a run. Money in the quote currency. */
export interface OfflineTotals {
  readonly fees: number;
  readonly spreadCosts: number;
  /** Σ over fills of notional ÷ equity at the previous mark; times periods per year ÷ bars = turnover per year. */
  readonly turnover: number;
  readonly realisedPnl: number;
  readonly barsDone: number;
}

/** Lots that were wanted and not traded. */
export interface OfflineRefusal {
  /** Signed lots. */
  readonly lots: number;
  readonly instrument: string;
  readonly reason: RefusedIntent["reason"];
  /** Row of the instrument that the order was decided on, or on which its fill was cut. */
  readonly row: number;
  /** False: decided on. True: cut by the broker, at the price of the fill. */
  readonly isFill: boolean;
}

/** Position in one instrument. Money in the quote currency. */
export interface OfflinePosition {
  /** Signed lots. */
  readonly lots: number;
  /** Per unit; 0 while flat. */
  readonly averageCost: number;
  /** Last close that is not NaN; NaN before the first. */
  readonly mark: number;
  /** Before fees. */
  readonly realisedPnl: number;
  /** Market value less cost, at the mark. */
  readonly unrealisedPnl: number;
  readonly fees: number;
  readonly spreadCosts: number;
}

/** How much of the equity positions are worth at each mark; all of one length. NaN where the equity is 0 or less. */
export interface OfflineExposure {
  /** Values of all positions without their signs ÷ equity. */
  readonly gross: Float64Array;
  /** Values of all positions, negative while short, ÷ equity. */
  readonly net: Float64Array;
  /** Largest value of one position without its sign ÷ equity. */
  readonly largestWeight: Float64Array;
}

/** An instrument with its broker and its state between bars. */
interface Line {
  readonly id: BookId;
  readonly lotUnit: number;
  readonly notionalMin: number;
  readonly sameBarClose: boolean;
  readonly broker: SimulatedBroker;
  /** The ledger's own mark. */
  readonly mark: Mark;
  /** The mark at the last bucket end. */
  settledMark: number;
  /** The ledger's own book; undefined before the first target. */
  book: Readonly<Book> | undefined;
  target: number;
  working: number;
  spreadCosts: number;
}

/** Finished orders and executions remembered; a few are enough, since offline nothing comes late or twice. */
const FINISHED_MAX = 16;

/**
 * One strategy over one or several instruments, bar by bar, through the same order router and broker that paper uses.
 *
 * A target is sized at its instrument's last close with the equity of the whole account at that moment, and fills at
 * the open of the instrument's next bar with costs. At each bucket end call `bar` for every instrument with a bar
 * there, `settle`, `decide` for every target, `send`, then `mark`; with one instrument `step` does all of them. Nothing
 * is allocated while targets stay and no order works. Beyond 2^53 lots quantities are the nearest floats; full exits
 * stay exact. A NaN target keeps the previous target; a NaN close keeps the previous mark.
 *
 * Cash, marks and positions are those of the router's ledger; nothing here keeps them a second time.
 */
export class OfflineAccount {
  readonly fills: SimulatedFill[] = [];
  readonly orders: Readonly<RouterOrder>[] = [];
  readonly refusals: OfflineRefusal[] = [];
  readonly #router: OrderRouter;
  readonly #ledger: RouterLedger;
  readonly #lines: readonly Line[];
  /** Orders of the targets taken since `send`, in their order. */
  readonly #unsent: RouterEffect[] = [];
  readonly #senders: Line[] = [];
  readonly #settledMarkOf: (instrument: string) => number;
  #equity: Float64Array;
  #gross: Float64Array;
  #net: Float64Array;
  #largestWeight: Float64Array;
  #length = 0;
  #barsForgotten = 0;
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
    this.#lines = instruments.map((one) => this.#newLine(one, world, strategy));
    const bySymbol = new Map(this.#lines.map((line) => [line.id.instrument, line]));
    this.#settledMarkOf = (instrument) => bySymbol.get(instrument)!.settledMark;
    this.#equity = new Float64Array(rowsExpected);
    this.#gross = new Float64Array(rowsExpected);
    this.#net = new Float64Array(rowsExpected);
    this.#largestWeight = new Float64Array(rowsExpected);
    this.#lastEquity = capital;
  }

  /**
   * One bar of the only instrument: working orders fill at its open, then the target is taken at its close.
   *
   * @param row absolute row, increasing; it is the bucket of the orders and part of the execution ids
   * @param target fraction of the capital, NaN to keep the previous one
   */
  step(row: number, open: number, high: number, low: number, close: number, target: number): void {
    this.bar(0, row, open, high, low, close);
    this.settle(() => row);
    this.decide(0, row, target);
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
   * Takes an instrument's target. Nothing happens if it is NaN or unchanged, or if there is no mark yet. One that would
   * open at a mark of 0 or below is refused; exits are made at any mark.
   *
   * @param row last row of the instrument that had begun: orders fill on the one after it
   * @param target fraction of the capital
   * @param openShare see `planTargets`. @default 1
   * @returns whether `target` is now the instrument's target, or was refused
   */
  decide(at: number, row: number, target: number, openShare = 1): boolean {
    const line = this.#lines[at]!;
    const mark = line.mark.price;
    if (target === line.target || Number.isNaN(target) || Number.isNaN(mark)) {
      return target === line.target;
    }
    line.target = target;
    const { outcome, effects, refused } = this.#router.setTarget({
      ...line.id,
      value: target,
      bucket: row,
      mark,
      notionalMin: line.notionalMin,
      openShare,
    });
    line.book ??= this.#ledger.findBook(line.id);
    const { instrument } = line.id;
    if (outcome === "bad_mark") {
      this.refusals.push({ instrument, lots: 0, reason: "MARK_NOT_POSITIVE", row, isFill: false });
    }
    for (const { lots, reason } of refused) {
      this.refusals.push({ instrument, lots, reason, row, isFill: false });
    }
    for (const effect of effects) {
      this.#unsent.push(effect);
      this.#senders.push(line);
    }
    return true;
  }

  /**
   * How several targets of one moment are to be taken; see `planTargets`.
   *
   * @param places of the instruments
   * @param values one for each
   */
  planTargets(places: readonly number[], values: readonly number[]): TargetMoment {
    const targets = places.map((at, index) => {
      const { id, mark } = this.#lines[at]!;
      return { ...id, value: values[index]!, mark: mark.price };
    });
    return planTargets(this.#router.core, targets);
  }

  /**
   * Sends the orders of the targets that were taken, so that all targets of one moment are sized before any order of it
   * fills: in which order they are taken changes no size. To be called at the end of a moment; `mark` does it, too.
   */
  send(): void {
    for (let at = 0; at < this.#unsent.length; at++) {
      this.#send(this.#senders[at]!, this.#unsent[at]!);
    }
    this.#unsent.length = 0;
    this.#senders.length = 0;
  }

  /** Records equity and exposure at a bucket end. */
  mark(): void {
    if (this.#unsent.length > 0) this.send();
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
    if (this.#length === this.#equity.length) {
      this.#grow();
    }
    const row = this.#length++;
    const whole = equity > 0 ? equity : Number.NaN;
    this.#equity[row] = equity;
    this.#gross[row] = gross / whole;
    this.#net[row] = net / whole;
    this.#largestWeight[row] = largest / whole;
    this.#lastEquity = equity;
  }

  /** Drops the orders, refusals, fills and marks recorded so far, for an account that trades on without end. Totals keep them. */
  forget(): void {
    this.orders.length = 0;
    this.refusals.length = 0;
    this.fills.length = 0;
    this.#barsForgotten += this.#length;
    this.#length = 0;
  }

  /** Equity at each call of `mark`, in order, since the last `forget`. A view: it is stale once more marks make the column grow. */
  equity(): Float64Array {
    return this.#equity.subarray(0, this.#length);
  }

  /** Exposure at each call of `mark`, in order; views, as that of `equity`. */
  exposure(): OfflineExposure {
    const { length } = this.equity();
    return {
      gross: this.#gross.subarray(0, length),
      net: this.#net.subarray(0, length),
      largestWeight: this.#largestWeight.subarray(0, length),
    };
  }

  totals(): OfflineTotals {
    const sum = (of: (line: Line) => number): number =>
      this.#lines.reduce((total, line) => total + of(line), 0);
    return {
      fees: this.#fees,
      spreadCosts: sum(({ spreadCosts }) => spreadCosts),
      turnover: this.#turnover,
      realisedPnl: sum(({ book }) => book?.realisedPnl ?? 0),
      barsDone: this.#barsForgotten + this.#length,
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
    const { quantity: lots = 0, averageCost = 0, realisedPnl = 0, fees = 0 } = book ?? {};
    const unrealisedPnl = lots === 0 ? 0 : lots * lotUnit * (mark.price - averageCost);
    return { lots, averageCost, mark: mark.price, realisedPnl, unrealisedPnl, fees, spreadCosts };
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

  #send(line: Line, effect: RouterEffect): void {
    if (effect.kind !== "send") {
      return;
    }
    const { order } = effect;
    this.orders.push(order);
    line.working++;
    this.#router.core.onSent(order.id);
    const { id, instrument, lots, bucket, reduceOnly } = order;
    const outcome = line.broker.accept({ id, instrument, lots, bucket, reduceOnly });
    if (!outcome.accepted) {
      line.working--;
      this.#router.core.onRejected(id, outcome.reason);
      return;
    }
    this.#router.core.onAccepted(id);
  }

  /** What the broker did not fill of an order: it was already taken off the working ones if anything filled. */
  #cutByBroker(line: Line, { id, reason }: BrokerCancel, row: number): void {
    const order = this.#router.core.order(id)!;
    const lots = order.lots - order.filledLots;
    if (order.filledLots === 0) line.working--;
    this.#router.core.onCancelled(id, reason);
    if (reason === "NOTHING_TO_REDUCE") return;
    this.refusals.push({ instrument: line.id.instrument, lots, reason, row, isFill: true });
  }

  #bookFill(line: Line, fill: SimulatedFill): void {
    const { orderId, executionId, lots, price, fee } = fill;
    this.#router.core.onFill({ orderId, executionId, lots, price, fee });
    line.working--;
    this.fills.push(fill);
    this.#fees += fee;
    line.spreadCosts += fill.spreadCost;
    this.#turnover += Math.abs(lots * line.lotUnit * price) / this.#lastEquity;
  }

  #newLine(instrument: OfflineInstrument, world: string, strategy: string): Line {
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
    const line: Line = {
      id,
      lotUnit: Number(instrument.lotSize) * (instrument.multiplier ?? 1),
      notionalMin: instrument.notionalMin ?? 0,
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
      working: 0,
      spreadCosts: 0,
    };
    return line;
  }

  #grow(): void {
    const length = Math.max(1024, this.#equity.length * 2);
    this.#equity = grownTo(length, this.#equity);
    this.#gross = grownTo(length, this.#gross);
    this.#net = grownTo(length, this.#net);
    this.#largestWeight = grownTo(length, this.#largestWeight);
  }
}

function grownTo(length: number, values: Float64Array): Float64Array {
  const grown = new Float64Array(length);
  grown.set(values);
  return grown;
}
