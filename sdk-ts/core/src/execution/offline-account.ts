import type { HashHex } from "./client-order-id.ts";
import { heldWeight } from "./held-weight.ts";
import type { CompiledInstrument, InstrumentSpec } from "./instrument-spec.ts";
import { MarkTable, type OfflineExposure } from "./mark-table.ts";
import { OrderRouter } from "./order-router.ts";
import type { Mark, RouterLedger } from "./router-ledger.ts";
import type { BookId, RouterEffect, RouterOrder } from "./router-order.ts";
import type { Book, StrategyAccount } from "./router-state.ts";
import { type BrokerPositions, type CostOptions, SimulatedBroker } from "./simulated-broker.ts";
import type { SimulatedFill } from "./simulated-order.ts";
import { type StrayRecord, StrayTracker } from "./stray-tracker.ts";

/** An instrument as an offline run trades it. */
export type OfflineInstrument = InstrumentSpec &
  CostOptions & {
    /** Market orders fill at the close of the bar they were decided on, as market-on-close orders. @default false */
    readonly sameBarClose?: boolean;
    /** Orders worth less than this at the mark are not made, except those that leave nothing held. @default 0 */
    readonly notionalMin?: number;
    /** A target is sized again when the weight held strays from it by more than this; 0: never. @default 0 */
    readonly drift?: number;
  };

export interface OfflineAccountOptions {
  /** What is traded, one entry per instrument. Methods name them by their place in the list. */
  readonly instruments: readonly OfflineInstrument[];
  /** Money the strategy starts with. */
  readonly capital: number;
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

/** A target as it is taken at a bucket end. */
export interface OfflineTarget {
  /** Place of its instrument in the list of the account. */
  readonly at: number;
  /** Last row of the instrument that had begun: orders fill on the one after it. */
  readonly row: number;
  /** Fraction of the capital; not NaN. */
  readonly value: number;
  /** Row at which it was last to be sized: a later one than before sizes it again. @default none */
  readonly sizedRow?: number;
  /** True: it is sized again whatever it was before. @default false */
  readonly resize?: boolean;
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

/** An instrument with its broker and its state between bars. */
interface Line {
  readonly id: BookId;
  readonly compiled: CompiledInstrument;
  readonly lotUnit: number;
  readonly notionalMin: number;
  readonly drift: number;
  readonly sameBarClose: boolean;
  readonly broker: SimulatedBroker;
  /** The ledger's own mark. */
  readonly mark: Mark;
  /** The ledger's own book; undefined before the first target. */
  book: Readonly<Book> | undefined;
  target: number;
  sizedRow: number;
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
 * there, then for the targets `isStray` and `takeTargets`, then `mark`; with one instrument `step` does all of it.
 * Nothing is allocated while targets stay and no order works. Beyond 2^53 lots quantities are the nearest floats; full
 * exits stay exact. A NaN target keeps the previous target; a NaN close keeps the previous mark.
 *
 * Cash, marks and positions are those of the router's ledger; nothing here keeps them a second time.
 */
export class OfflineAccount {
  readonly fills: SimulatedFill[] = [];
  readonly orders: Readonly<RouterOrder>[] = [];
  readonly #router: OrderRouter;
  readonly #ledger: RouterLedger;
  readonly #strategy: StrategyAccount;
  readonly #lines: readonly Line[];
  readonly #strays: StrayTracker;
  readonly #marks: MarkTable;
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
    this.#router = new OrderRouter({ account: "offline", ...shared, ...memory });
    this.#router.setAllocation({ world, strategy, share: 1, equity: capital });
    this.#ledger = this.#router.core.ledger;
    this.#strategy = this.#ledger.strategyOrNew(world, strategy);
    this.#lines = instruments.map((one) => this.#newLine(one, world, strategy));
    this.#strays = new StrayTracker(instruments.length);
    this.#marks = new MarkTable(rowsExpected);
    this.#lastEquity = capital;
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
    const line = this.#lines[0]!;
    const value = Number.isNaN(target) ? line.target : target;
    const resize = this.isStray(0);
    if (resize || value !== line.target || sizedRow > line.sizedRow) {
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
    }
    if (!Number.isNaN(close)) {
      line.mark.price = close;
    }
  }

  /**
   * Whether the weight held of an instrument has strayed from its target by more than its drift, at the marks of now:
   * then its target is to be sized again.
   */
  isStray(at: number): boolean {
    const { drift, book, compiled, mark } = this.#lines[at]!;
    if (drift === 0 || book === undefined || !(mark.price > 0)) return false;
    return this.#router.hasStrayed(book, compiled, mark.price, this.#equityNow());
  }

  /**
   * Takes the targets of one moment, all sized with the same capital; those that reduce what is held first. A target
   * whose instrument has no mark above 0 is left out.
   *
   * @returns whether each target was taken, in their order
   */
  takeTargets(targets: readonly OfflineTarget[]): readonly boolean[] {
    const capital = this.#ledger.capital(this.#strategy);
    const taken = targets.map(({ at }) => this.#lines[at]!.mark.price > 0);
    const inputs = targets
      .filter((_, k) => taken[k])
      .map(({ at, row, value, sizedRow = Number.NaN, resize = false }) => {
        const { id, mark, notionalMin, drift } = this.#lines[at]!;
        return {
          ...id,
          at,
          value,
          bucket: row,
          mark: mark.price,
          notionalMin,
          drift,
          ...(Number.isNaN(sizedRow) ? {} : { sizedRow }),
          resize,
          capital,
        };
      });
    for (const input of this.#router.reductionsFirst(inputs)) {
      const line = this.#lines[input.at]!;
      line.target = input.value;
      line.sizedRow = input.sizedRow ?? line.sizedRow;
      const { effects } = this.#router.setTarget(input);
      line.book ??= this.#ledger.findBook(line.id);
      for (const effect of effects) {
        this.#send(line, effect);
      }
    }
    return taken;
  }

  /** Records equity and exposure at a bucket end. */
  mark(): void {
    let equity = this.#ledger.accountCash;
    let gross = 0;
    let net = 0;
    let largest = 0;
    for (let at = 0; at < this.#lines.length; at++) {
      const { book, lotUnit, mark } = this.#lines[at]!;
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

  /** Drops the orders, fills and marks recorded so far, for an account that trades on without end. Totals keep them. */
  forget(): void {
    this.orders.length = 0;
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
    const sum = (of: (line: Line) => number): number =>
      this.#lines.reduce((total, line) => total + of(line), 0);
    return {
      fees: this.#fees,
      spreadCosts: sum(({ spreadCosts }) => spreadCosts),
      turnover: this.#turnover,
      realisedPnl: sum(({ book }) => book?.realisedPnl ?? 0),
      barsDone: this.#marks.taken,
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

  /** How far the held weight of an instrument was from its target at the worst mark; undefined if it never held any. */
  largestStray(at: number): StrayRecord | undefined {
    return this.#strays.largest(at);
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
    };
    const line: Line = {
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
      book: undefined,
      target: 0,
      sizedRow: -1,
      working: 0,
      spreadCosts: 0,
    };
    return line;
  }
}
