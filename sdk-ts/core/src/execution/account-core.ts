import type { AccountOp } from "./account-op.ts";
import type { Financed } from "./financing.ts";
import { Midnights } from "./midnights.ts";
import { OrderRouter } from "./order-router.ts";
import type { RouterCore } from "./router-core.ts";
import type { SealedReturn } from "./router-ledger.ts";
import {
  type FillOutcome,
  type FillReport,
  inScope,
  type RouterOptions,
  type RouterResult,
  type RouterScope,
  type TargetInput,
  type TargetOutcome,
} from "./router-options.ts";
import {
  type BookId,
  isFinal,
  type RouterEffect,
  type RouterOrder,
  remainingLots,
} from "./router-order.ts";
import type { AccountRuin, Book, RouterSnapshot, StrategyAccount } from "./router-state.ts";
import { planTargets, type TargetMoment } from "./target-moment.ts";

/** Result of an operation. */
export interface AccountOutcome extends RouterResult {
  /** After a target or a direct order: what became of it. */
  readonly target?: TargetOutcome;
  /** After a seal: capital and return of every strategy that was sealed. */
  readonly sealed?: readonly SealedReturn[];
  /** After a midnight or a row of funding that was charged: what it cost. */
  readonly financed?: Partial<Financed>;
  /** After a comparison: how books and broker differ, as text for people; empty if they agree. */
  readonly difference?: string;
}

/** Adjustments of positions that belong to no strategy are kept under this name. */
const UNASSIGNED = { world: "", strategy: "" } as const;

/** Money that may differ between books and broker from float noise, account currency. */
const CASH_TOLERANCE = 0.01;

/**
 * The router's core for one account, with what its callers need besides: comparison with a broker without sending
 * orders, return series that begin at the capital of the stage, cancels of protective orders, and `apply`, through
 * which the running router, its recovery from the journal and the replay of a recorded session all drive the core.
 */
export class AccountCore {
  readonly #router: OrderRouter;
  readonly #core: RouterCore;
  /** Of the zone in force. */
  #midnights: Midnights | undefined;

  constructor(options: RouterOptions, snapshot?: RouterSnapshot) {
    this.#router = new OrderRouter(options, snapshot);
    this.#core = this.#router.core;
  }

  /** Performs one operation. */
  apply(op: AccountOp): AccountOutcome {
    switch (op.op) {
      case "set_target": {
        const { outcome, ...result } = this.#router.setTarget(op);
        return { ...result, target: outcome };
      }
      case "submit_order": {
        const { outcome, ...result } = this.#router.submitOrder(op);
        return { ...result, target: outcome };
      }
      case "rearm":
        return this.#router.rearm(op);
      case "cancel":
        return { effects: this.#cancel(op.scope, op.protective), refused: [] };
      case "cancel_order":
        return { effects: this.#cancelOne(op.order), refused: [] };
      case "compare":
        return { ...NOTHING, difference: this.#compare(new Map(op.positions), op.cash) };
      case "allocate":
        this.#router.setAllocation(op.input);
        if (op.input.beginsStage === true) this.#beginSeries(op.input);
        return NOTHING;
      case "rebalance":
        return this.#router.executeRebalance(op.input);
      case "demote":
        return this.#router.demote(op);
      case "flatten":
        return this.#router.flatten({ ...op.scope, bucket: op.bucket, origin: op.origin });
      case "state":
        this.#report(op);
        return NOTHING;
      case "fill":
        this.onFill(op.fill);
        return NOTHING;
      case "bar":
        for (const { instrument, close } of op.marks) this.#core.onMark(instrument, close);
        return { ...NOTHING, sealed: this.#sealWorlds(op.worlds ?? [], op.bucket) };
      case "seal":
        return { ...NOTHING, sealed: this.#sealTraders(op) };
      case "margin":
        return this.#router.meetMargin(() => op.bucket, op.bucket);
      case "finance": {
        const financed = this.#core.finance(op.timeMs);
        return financed === undefined ? NOTHING : { ...NOTHING, financed };
      }
      case "fund": {
        const financed = this.#core.fund(op.rates);
        return financed === undefined ? NOTHING : { ...NOTHING, financed };
      }
      case "adjust_cash":
        this.#core.ledger.accountCash += op.cash;
        return NOTHING;
      case "adjust_position":
        this.#router.bookAdjustment({ ...UNASSIGNED, ...op });
        return NOTHING;
      case "settings":
        if (op.limits !== undefined) this.#router.setLimits(op.limits);
        if (op.money !== undefined) this.#core.ledger.money = op.money;
        return NOTHING;
      case "note":
        return NOTHING;
    }
  }

  /** See {@link planTargets}. */
  planTargets(targets: readonly TargetInput[]): TargetMoment {
    return planTargets(this.#core, targets);
  }

  /** See {@link RouterCore.onFill}. */
  onFill(report: FillReport): FillOutcome {
    return this.#core.onFill(report);
  }

  /** Plain JSON, independent of later changes. */
  snapshot(): RouterSnapshot {
    return this.#core.snapshot();
  }

  /** Account cash plus market value. */
  equity(): number {
    return this.#core.equity();
  }

  /** Capital of a strategy; 0 before its first allocation. See {@link RouterLedger.capital}. */
  capital(
    world: string,
    strategy: string,
    markAt?: (instrument: string) => number | undefined,
  ): number {
    return this.#core.capital(world, strategy, markAt);
  }

  /** See {@link OrderRouter.hasStrayed}. */
  hasStrayed(id: BookId, mark: number, capital: number): boolean {
    const book = this.#core.ledger.findBook(id);
    return book !== undefined && this.#router.hasStrayed(book, mark, capital);
  }

  /** True while opening orders are held back because books and broker differ. */
  get isOpeningRefusal(): boolean {
    return this.#core.isOpeningRefusal;
  }

  /** True when the account's money demands a `margin` operation at the last marks. */
  get isMarginDue(): boolean {
    return this.#router.isMarginDue;
  }

  /** True once its equity was 0 or below: it opens nothing ever after. */
  get isRuined(): boolean {
    return this.#core.isRuined;
  }

  /** When that was, and with what; undefined while it is not ruined. */
  get ruin(): Readonly<AccountRuin> | undefined {
    return this.#core.ruin;
  }

  book(id: BookId): Readonly<Book> | undefined {
    return this.#core.book(id);
  }

  books(): Readonly<Book>[] {
    return this.#core.books();
  }

  strategies(): Readonly<StrategyAccount>[] {
    return this.#core.strategies();
  }

  /** Money of a strategy; undefined before its first allocation. */
  strategy(world: string, strategy: string): Readonly<StrategyAccount> | undefined {
    return this.#core.ledger.strategy(world, strategy);
  }

  order(id: string): Readonly<RouterOrder> | undefined {
    return this.#core.order(id);
  }

  openOrders(id?: BookId): readonly Readonly<RouterOrder>[] {
    return this.#core.openOrders(id);
  }

  /** What holding positions has cost so far. */
  get financed(): Readonly<Financed> {
    return this.#core.ledger.financed;
  }

  /**
   * The next midnight to charge after the books were last marked at `markedMs`; ∞ for an account without rates, or that
   * is ruined. Before its first mark there is nothing to charge.
   */
  nextMidnight(markedMs: number): number {
    const { money, financedMs } = this.#core.ledger;
    const zone = money?.financing?.zone;
    if (zone === undefined || this.isRuined || !Number.isFinite(markedMs)) return Infinity;
    if (this.#midnights?.zone !== zone) this.#midnights = new Midnights(zone);
    return this.#midnights.after(Math.max(markedMs, financedMs));
  }

  get cash(): number {
    return this.#core.ledger.accountCash;
  }

  /** Last mark of an instrument; undefined before the first. */
  mark(instrument: string): number | undefined {
    return this.#core.ledger.marks.get(instrument);
  }

  /** Value of one lot at price 1. @throws {RangeError} for an instrument that is not configured. */
  lotUnit(instrument: string): number {
    return this.#core.ledger.instrument(instrument).lotUnit;
  }

  /** Whether an instrument is configured. */
  knows(instrument: string): boolean {
    return this.#core.ledger.knows(instrument);
  }

  /** True while a world has a position, a working order, or a strategy in a stage here. */
  holdsOf(world: string): boolean {
    return (
      this.books().some((book) => book.world === world && book.quantity !== 0) ||
      this.openOrders().some((order) => order.world === world) ||
      this.strategies().some((one) => one.world === world && one.demoted === null)
    );
  }

  /** No book holds anything, and no order is working: a bar fills nothing. */
  get isIdle(): boolean {
    return this.openOrders().length === 0 && this.books().every(({ quantity }) => quantity === 0);
  }

  /** Signed lots of working orders, `unknown` ones counted whole. */
  workingLots(id: BookId): number {
    return this.openOrders(id).reduce((sum, order) => sum + remainingLots(order), 0);
  }

  /** See {@link OrderRouter.missingLots}; 0 without a book. */
  missingLots(id: BookId): number {
    const book = this.#core.ledger.findBook(id);
    return book === undefined ? 0 : this.#router.missingLots(book);
  }

  #cancel(scope: RouterScope, protective: boolean): RouterEffect[] {
    const effects = this.#router.haltCancelOpening(scope);
    if (!protective) return effects;
    for (const order of this.#core.orders.open()) {
      if (inScope(scope, order)) effects.push(...this.#cancelOne(order.id));
    }
    return effects;
  }

  #cancelOne(orderId: string): RouterEffect[] {
    const order = this.#core.orders.get(orderId);
    if (order === undefined || order.cancelRequested || isFinal(order.state)) return [];
    order.cancelRequested = true;
    return [{ kind: "cancel", orderId }];
  }

  /** Holds back opening orders while books and broker differ. While an order is unknown, cash is not compared. */
  #compare(positions: ReadonlyMap<string, number>, cash: number): string {
    const texts = this.#router
      .compare(positions)
      .map(
        ({ instrument, expectedLots, actualLots }) =>
          `${instrument}: ${expectedLots} lots in the books, ${actualLots} at the broker`,
      );
    const isUnknown = [...this.#core.orders.open()].some(({ state }) => state === "unknown");
    const gap = cash - this.cash;
    if (!isUnknown && Math.abs(gap) > CASH_TOLERANCE)
      texts.push(`cash: ${gap.toFixed(2)} unexplained`);
    this.#core.isOpeningRefusal = texts.length > 0;
    return texts.join("; ");
  }

  #report({ order, state, reason }: Extract<AccountOp, { op: "state" }>): void {
    switch (state) {
      case "sent":
        this.#core.onSent(order);
        return;
      case "unknown":
        this.#core.onUnknown(order);
        return;
      case "accepted":
        this.#core.onAccepted(order);
        return;
      case "rejected":
        this.#core.onRejected(order, reason);
        return;
      case "cancelled":
        this.#core.onCancelled(order, reason);
        return;
      case "expired":
        this.#core.onExpired(order, reason);
        return;
    }
  }

  #beginSeries({ world, strategy }: { readonly world: string; readonly strategy: string }): void {
    const account = this.#core.ledger.strategy(world, strategy);
    if (account !== undefined) this.#core.ledger.beginSeries(account);
  }

  #sealTraders({ bucket, instruments, declared = [] }: Extract<AccountOp, { op: "seal" }>) {
    const { ledger } = this.#core;
    for (const { world, strategy, instruments: own } of declared) {
      const account = ledger.strategy(world, strategy);
      if (account !== undefined) account.instruments = own;
    }
    const marked = new Set(instruments);
    return this.#seal(bucket, (account) => ledger.trades(account, marked));
  }

  #sealWorlds(worlds: readonly string[], bucket: number): SealedReturn[] {
    return this.#seal(bucket, ({ world }) => worlds.includes(world));
  }

  /** Seals strategies in a stage. Closing the position of a demoted one costs what is no part of a stage's returns. */
  #seal(bucket: number, isMeant: (account: StrategyAccount) => boolean): SealedReturn[] {
    const { ledger } = this.#core;
    const sealed: SealedReturn[] = [];
    for (const account of ledger.strategies.values()) {
      const isNew = account.sealedMs === undefined || account.sealedMs < bucket;
      if (isInStage(account) && isNew && isMeant(account))
        sealed.push(ledger.seal(account, bucket));
    }
    return sealed;
  }
}

/** Whether a strategy is in a stage with orders: it has capital, and its returns count. */
export function isInStage({ demoted, sealedCapital }: Readonly<StrategyAccount>): boolean {
  return demoted === null && sealedCapital !== null;
}

const NOTHING: RouterResult = { effects: [], refused: [] };
