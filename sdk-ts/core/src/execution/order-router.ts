import { BuyingPower } from "./buying-power.ts";
import { hasStrayed } from "./held-weight.ts";
import { IntentWriter } from "./intent-writer.ts";
import type { LedgerBook } from "./ledger-book.ts";
import { demandOf, meetDemand } from "./margin-call.ts";
import type { PretradeLimits } from "./pretrade.ts";
import { findDifferences } from "./reconcile-positions.ts";
import { RouterCore } from "./router-core.ts";
import {
  type DirectOrderInput,
  type DirectOrderOutcome,
  inScope,
  type PositionDifference,
  type RouterOptions,
  type RouterResult,
  type RouterScope,
  type TargetInput,
  type TargetOutcome,
} from "./router-options.ts";
import { type BookId, type OrderOrigin, type RouterEffect, remainingLots } from "./router-order.ts";
import type { Book, OnDemote, RouterSnapshot } from "./router-state.ts";
import { openedLots } from "./target-moment.ts";
import { isSizedAnew, standingTarget } from "./target-sizing.ts";
import { plannedTarget, wantedLots } from "./wanted-lots.ts";

/** A strategy's share of an account. */
export interface AllocationInput {
  readonly world: string;
  readonly strategy: string;
  /** Strategy share × world share, 0…1. */
  readonly share: number;
  /** Account equity the share is of, at this moment. */
  readonly equity: number;
  /** True when the strategy enters a stage: its return series starts anew and a demotion ends. @default false */
  readonly beginsStage?: boolean;
}

/** An executed rebalance: internal crosses at the plan's marks, then the new quantities. */
export interface RebalanceInput {
  readonly batchId: string;
  readonly bucket: number;
  readonly crosses: readonly (BookId & { readonly lots: number; readonly price: number })[];
  readonly quantities: readonly (BookId & { readonly lots: number })[];
}

/**
 * The pure core of one account's order router: a deterministic state machine without I/O or clock.
 *
 * Operations return effects; the caller journals them, performs them and reports back with `on…`. Reports never
 * make new orders (a refusal would loop): only a target, a direct order, a re-arm, a reconciliation, a rebalance and a
 * demotion do. The same operations in the same order give the same state, ids included.
 */
export class OrderRouter {
  /** What it decides on: books, money and orders, and what reports do to them. */
  readonly core: RouterCore;
  /** What the orders of the account may still open. */
  readonly power: BuyingPower;
  readonly #writer: IntentWriter;

  constructor(options: RouterOptions, snapshot?: RouterSnapshot) {
    this.core = new RouterCore(options, snapshot);
    const { ledger, orders } = this.core;
    this.power = new BuyingPower(ledger, orders);
    this.#writer = new IntentWriter(options, ledger, orders, this.power);
  }

  /**
   * Takes a target: fixes its quantity if its value changed or it is to be sized again, and sends what is missing, once.
   *
   * quantity = value × capital ÷ mark in lots, toward zero. A re-sent equal target keeps its quantity. What is not
   * opened because it is worth less than `notionalMin` is taken off the quantity, and what is not reduced for that
   * reason stays: a later price move does not cause it to be sent, and nothing is opened beyond the quantity. Neither
   * is what the account's money does not allow.
   *
   * At a mark of 0 or below no quantity can be fixed: a value of 0 is taken, one of the other side only closes, and
   * any other is not taken.
   *
   * @param known its book, for a caller that has it at hand
   * @throws {RangeError} for a value that is not finite or an unconfigured instrument
   */
  setTarget(
    input: TargetInput,
    known = this.core.ledger.findBook(input),
  ): RouterResult & { readonly outcome: TargetOutcome } {
    const { value, bucket, mark } = input;
    if (!Number.isFinite(value)) {
      throw new RangeError(`a target's value must be finite, not ${value}`);
    }
    const { ledger } = this.core;
    const { lotUnit } = known?.spec ?? ledger.instrument(input.instrument);
    const account = known?.account ?? ledger.strategy(input.world, input.strategy);
    if (account === undefined) {
      return { outcome: "no_allocation", effects: [], refused: [] };
    }
    if (account.demoted !== null) {
      return { outcome: "demoted", effects: [], refused: [] };
    }
    if (this.core.isRuined) {
      return { outcome: "ruined", effects: [], refused: [] };
    }
    if (!Number.isFinite(mark)) {
      return { outcome: "bad_mark", effects: [], refused: [] };
    }
    const book = known ?? ledger.book(input);
    const latest = book.target;
    if (latest !== null && bucket < latest.bucket) {
      return { outcome: "older_bucket", effects: [], refused: [] };
    }
    book.mark = mark;
    const isAnew = latest === null || isSizedAnew(input, latest);
    if (mark <= 0 && value !== 0 && isAnew) {
      return this.#closeOther(book, input);
    }
    const capital = input.capital ?? (isAnew ? ledger.capital(account) : Number.NaN);
    const standing = standingTarget(input, latest, capital, lotUnit);
    const { lots: wanted } = standing;
    const { openShare = 1, openTolerance = 0 } = input;
    const isCut = openShare < 1 && isAnew;
    const lots = isCut
      ? openedLots(this.#expectedLots(book), wanted, openShare, openTolerance)
      : wanted;
    book.target = lots === wanted ? standing : { ...standing, lots };
    const { effects, refused } =
      input.act === false
        ? NOTHING
        : this.#writer.settle(book, bucket, "target", this.core.openingShut);
    if (lots === wanted) return { outcome: "applied", effects, refused };
    const { world, strategy, instrument } = input;
    const id = { world, strategy, instrument };
    const cut = { ...id, lots: wanted - lots, reason: "REDUCED_TO_BUYING_POWER" } as const;
    return { outcome: "applied", effects, refused: [...refused, cut] };
  }

  /** What a target comes to that cannot be sized: a position on the other side is closed, nothing is opened. */
  #closeOther(
    book: LedgerBook,
    { value, bucket, act }: TargetInput,
  ): RouterResult & { readonly outcome: TargetOutcome } {
    const held = book.target?.lots ?? book.quantity;
    if (held === 0 || held > 0 === value > 0) return { outcome: "bad_mark", ...NOTHING };
    book.target = { value: 0, lots: 0, bucket };
    const result =
      act === false ? NOTHING : this.#writer.settle(book, bucket, "target", this.core.openingShut);
    return { outcome: "bad_mark", ...result };
  }

  /**
   * Whether a standing target is to be sized again, because the weight held at a mark has strayed from it by more than
   * its drift allows.
   */
  hasStrayed(book: LedgerBook, mark: number, capital: number): boolean {
    const { target } = book;
    if (target?.drift === undefined) return false;
    return hasStrayed(target, this.#expectedLots(book), book.spec, mark, capital);
  }

  /**
   * Signed lots that a book still needs to reach its standing target; 0 without a target. What is missing of a target
   * with a drift is made up for at the end of each bar of its instrument.
   */
  missingLots(book: LedgerBook): number {
    if (book.target === null) return 0;
    const expected = this.#expectedLots(book);
    return wantedLots(book.target, expected) - expected;
  }

  /** Lots held and still to come from working orders. */
  #expectedLots(book: LedgerBook): number {
    let lots = book.quantity;
    for (const order of book.working) lots += remainingLots(order);
    return lots;
  }

  /**
   * Takes a direct order: it is made once, now, or refused. A later target counts its position and its working lots.
   *
   * Through zero it becomes two orders, a close and an open, each checked by itself. It needs no mark unless a
   * limit or `notionalMin` is set.
   *
   * @throws {RangeError} for lots that are not a whole number or 0, a price not above 0, an unconfigured instrument
   */
  submitOrder(input: DirectOrderInput): RouterResult & { readonly outcome: DirectOrderOutcome } {
    const { world, strategy, instrument, lots, terms } = input;
    if (!Number.isSafeInteger(lots) || lots === 0) {
      throw new RangeError(`a direct order must be of whole lots, not ${lots}`);
    }
    if (terms !== undefined && !(terms.price > 0 && Number.isFinite(terms.price))) {
      throw new RangeError(`the price of a ${terms.type} must be above 0, not ${terms.price}`);
    }
    this.core.ledger.instrument(instrument);
    const account = this.core.ledger.strategy(world, strategy);
    if (account === undefined || account.demoted !== null) {
      return { outcome: account === undefined ? "no_allocation" : "demoted", ...NOTHING };
    }
    if (this.core.isRuined) return { outcome: "ruined", ...NOTHING };
    const result = this.#writer.submit(this.core.ledger.book(input), input, this.core.openingShut);
    return { outcome: "applied", ...result };
  }

  /** Makes the catch-up orders of every book of the strategy, decided on `bucket`, after a gate has opened again. */
  rearm(input: { world: string; strategy: string; bucket: number }): RouterResult {
    return this.#settle(
      this.core.ledger.booksOf(input.world, input.strategy),
      input.bucket,
      "rearm",
    );
  }

  /**
   * Compares net lots per instrument with the broker's, after missed executions were booked and unknown orders
   * looked up. A difference within what `unknown` orders may have filled is not judged yet; any other holds back
   * opening orders until a later call finds none. Makes no order: books catch up when their strategy is re-armed.
   */
  compare(positions: ReadonlyMap<string, number>): readonly PositionDifference[] {
    const { ledger, orders } = this.core;
    const differences = findDifferences([...ledger.books.values()], [...orders.open()], positions);
    this.core.isOpeningRefusal = differences.length > 0;
    return differences;
  }

  /** An operator's journaled adjustment: moves a book, and cash by the value of the lots at the price. No fee. */
  bookAdjustment(input: BookId & { lots: number; price: number }): void {
    this.core.ledger.trade(this.core.ledger.book(input), input.lots, input.price, 0, false);
  }

  /** Sets the limits for orders made from now on; existing orders stay. */
  setLimits(limits: PretradeLimits): void {
    this.core.ledger.limits = limits;
  }

  /**
   * Sets a strategy's capital base to share × equity. Quantities of standing targets stay.
   *
   * @throws {RangeError} for a share outside [0, 1] or an equity that is not finite
   */
  setAllocation(input: AllocationInput): void {
    const { world, strategy, share, equity } = input;
    if (!(share >= 0 && share <= 1) || !Number.isFinite(equity)) {
      throw new RangeError(`share must be in [0, 1] and equity finite, not ${share} of ${equity}`);
    }
    const account = this.core.ledger.strategyOrNew(world, strategy);
    this.core.ledger.allocate(account, share, share * equity, input.beginsStage ?? false);
  }

  /**
   * Executes a rebalance once per batch id; a repeated id does nothing. `notionalMin` does not bind its quantities,
   * neither now nor when books catch up with them later: its own rules have already left out what is worth too little.
   *
   * @throws {RangeError} for crosses that do not net to 0 per instrument, or a price not above 0
   */
  executeRebalance(input: RebalanceInput): RouterResult & { readonly executed: boolean } {
    if (this.core.batches.has(input.batchId)) {
      return { executed: false, ...NOTHING };
    }
    checkCrosses(input.crosses);
    this.core.batches.set(input.batchId, true);
    for (const cross of input.crosses) {
      this.core.ledger.trade(this.core.ledger.book(cross), cross.lots, cross.price, 0, true);
    }
    const books: LedgerBook[] = [];
    for (const quantity of input.quantities) {
      const book = this.core.ledger.book(quantity);
      const before = book.target ?? { value: 0, bucket: input.bucket, lots: 0 };
      book.target = plannedTarget(before, quantity.lots);
      books.push(book);
    }
    return { executed: true, ...this.#settle(books, input.bucket, "rebalance") };
  }

  /** Demotes a strategy: cancels its working opening orders, forgets its targets, and flattens or keeps. */
  demote(input: {
    world: string;
    strategy: string;
    onDemote: OnDemote;
    bucket: number;
  }): RouterResult {
    const { world, strategy } = input;
    this.core.ledger.strategyOrNew(world, strategy).demoted = input.onDemote;
    const cancels = this.haltCancelOpening({ world, strategy });
    if (input.onDemote === "flat") cancels.push(...this.#cancelWaiting({ world, strategy }));
    const books = this.core.ledger.booksOf(world, strategy);
    for (const book of books) {
      book.target = null;
    }
    const { effects, refused } = this.#settle(books, input.bucket, "demote");
    return { effects: [...cancels, ...effects], refused };
  }

  /** Cancels of every working opening order in scope, once per order. The caller keeps the halt itself. */
  haltCancelOpening(scope: RouterScope): RouterEffect[] {
    const effects: RouterEffect[] = [];
    for (const order of this.core.orders.open()) {
      if (order.opening && !order.cancelRequested && inScope(scope, order)) {
        order.cancelRequested = true;
        effects.push({ kind: "cancel", orderId: order.id });
      }
    }
    return effects;
  }

  /**
   * Reduce-only orders that flatten confirmed positions in scope, at once: orders that wait for a price are
   * cancelled. Targets stay for the re-arm.
   */
  flatten(input: RouterScope & { bucket: number; origin: OrderOrigin }): RouterResult {
    const cancels = this.#cancelWaiting(input);
    const books = [...this.core.ledger.books.values()].filter((book) => inScope(input, book));
    const { effects, refused } = merge(
      books.map((book) => this.#writer.flatten(book, input.bucket, input.origin)),
    );
    return { effects: [...cancels, ...effects], refused };
  }

  /** True when the account's money demands orders at the last marks; see {@link meetDemand}. */
  get isMarginDue(): boolean {
    return demandOf(this.core).demand !== "none";
  }

  /** Reduces or closes positions for lack of margin, if the account's money demands it; see {@link meetDemand}. */
  meetMargin(bucketOf: (book: Readonly<Book>) => number, timeMs: number): RouterResult {
    const cancelOpening = (): RouterEffect[] => this.haltCancelOpening({});
    return {
      effects: meetDemand(this.core, this.#writer, cancelOpening, bucketOf, timeMs),
      refused: [],
    };
  }

  #cancelWaiting(scope: RouterScope): RouterEffect[] {
    const effects: RouterEffect[] = [];
    for (const order of this.core.orders.open()) {
      const isWaiting = order.terms !== undefined && !order.cancelRequested;
      if (isWaiting && inScope(scope, order)) {
        order.cancelRequested = true;
        effects.push({ kind: "cancel", orderId: order.id });
      }
    }
    return effects;
  }

  #settle(books: readonly LedgerBook[], bucket: number, origin: OrderOrigin): RouterResult {
    return merge(
      books.map((book) => this.#writer.settle(book, bucket, origin, this.core.openingShut)),
    );
  }
}

const NOTHING: RouterResult = { effects: [], refused: [] };

function merge(results: readonly RouterResult[]): RouterResult {
  return {
    effects: results.flatMap((result) => result.effects),
    refused: results.flatMap((result) => result.refused),
  };
}

function checkCrosses(crosses: RebalanceInput["crosses"]): void {
  const net = new Map<string, number>();
  for (const { instrument, lots, price } of crosses) {
    if (!(price > 0)) {
      throw new RangeError(`cross of ${instrument}: the price must be above 0, not ${price}`);
    }
    net.set(instrument, (net.get(instrument) ?? 0) + lots);
  }
  for (const [instrument, lots] of net) {
    if (lots !== 0) {
      throw new RangeError(`crosses of ${instrument} net to ${lots} lots, not 0`);
    }
  }
}
