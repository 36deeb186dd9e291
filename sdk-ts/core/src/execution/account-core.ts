import type { AccountOp } from "./account-op.ts";
import { OrderRouter } from "./order-router.ts";
import { findDifferences } from "./reconcile-positions.ts";
import type { SealedReturn } from "./router-ledger.ts";
import {
  inScope,
  type RouterResult,
  type RouterScope,
  type TargetOutcome,
} from "./router-options.ts";
import { type BookId, isFinal, type RouterEffect, remainingLots } from "./router-order.ts";
import { wantedLots } from "./wanted-lots.ts";

/** What an operation led to. */
export interface AccountOutcome extends RouterResult {
  /** Of a target or a direct order. */
  readonly target?: TargetOutcome;
  /** Of a bar: capital and return of every strategy in a stage. */
  readonly sealed?: readonly SealedReturn[];
  /** Of a comparison: how books and broker differ, for people; empty when they agree. */
  readonly difference?: string;
}

/** Adjustments of positions that belong to no strategy are kept under this name. */
const UNASSIGNED = { world: "", strategy: "" } as const;

/** Money that may differ between books and broker from float noise, account currency. */
const CASH_TOLERANCE = 0.01;

/**
 * The router's core of one account with what a shell needs besides: comparing with a broker without sending, series
 * that begin at the capital of the stage, cancels of protective orders, and `apply`, by which the running router, the
 * rebuilding of it from its journal and the replay of a recorded session all drive it.
 */
export class AccountCore extends OrderRouter {
  /** Performs one operation. */
  apply(op: AccountOp): AccountOutcome {
    switch (op.op) {
      case "set_target": {
        const { outcome, ...result } = this.setTarget(op);
        return { ...result, target: outcome };
      }
      case "submit_order": {
        const { outcome, ...result } = this.submitOrder(op);
        return { ...result, target: outcome };
      }
      case "rearm":
        return this.rearm(op);
      case "cancel":
        return { effects: this.#cancel(op.scope, op.protective), refused: [] };
      case "cancel_order":
        return { effects: this.#cancelOne(op.order), refused: [] };
      case "compare":
        return { ...NOTHING, difference: this.#compare(new Map(op.positions), op.cash) };
      case "allocate":
        this.setAllocation(op.input);
        if (op.input.beginsStage === true) this.#seal(op.input, op.bucket);
        return NOTHING;
      case "rebalance":
        return this.executeRebalance(op.input);
      case "demote":
        return this.demote(op);
      case "flatten":
        return this.flatten({ ...op.scope, bucket: op.bucket, origin: op.origin });
      case "state":
        this.#report(op);
        return NOTHING;
      case "fill":
        this.onFill(op.fill);
        return NOTHING;
      case "bar":
        for (const { instrument, close } of op.marks) this.onMark(instrument, close);
        return { ...NOTHING, sealed: this.#sealWorlds(op.worlds, op.bucket) };
      case "adjust_cash":
        this.ledger.accountCash += op.cash;
        return NOTHING;
      case "adjust_position":
        this.bookAdjustment({ ...UNASSIGNED, ...op });
        return NOTHING;
      case "settings":
        if (op.limits !== undefined) this.setLimits(op.limits);
        return NOTHING;
      case "note":
        return NOTHING;
    }
  }

  get cash(): number {
    return this.ledger.accountCash;
  }

  /** Last mark of an instrument; undefined before the first. */
  mark(instrument: string): number | undefined {
    return this.ledger.marks.get(instrument);
  }

  /** Money a lot is worth at price 1. @throws {RangeError} for an instrument that is not configured. */
  lotUnit(instrument: string): number {
    return this.ledger.instrument(instrument).lotUnit;
  }

  /** Whether an instrument is configured. */
  knows(instrument: string): boolean {
    return this.ledger.knows(instrument);
  }

  /** True while a world has a position, a working order, or a strategy in a stage here. */
  holdsOf(world: string): boolean {
    return (
      this.books().some((book) => book.world === world && book.quantity !== 0) ||
      this.openOrders().some((order) => order.world === world) ||
      this.strategies().some((one) => one.world === world && one.demoted === null)
    );
  }

  /** Signed lots of working orders, `unknown` ones counted whole. */
  workingLots(id: BookId): number {
    return this.openOrders(id).reduce((sum, order) => sum + remainingLots(order), 0);
  }

  /** Signed lots that are missing to the standing target of a book; 0 without one. */
  missingLots(id: BookId): number {
    const book = this.book(id);
    if (book == null || book.target === null) return 0;
    const expected = book.quantity + this.workingLots(id);
    return wantedLots(book.target, expected) - expected;
  }

  /** Whether a rebalance was executed; beyond the batches that are remembered it is not known. */
  wasExecuted(batchId: string): boolean {
    return this.batches.has(batchId);
  }

  #cancel(scope: RouterScope, protective: boolean): RouterEffect[] {
    const effects = this.haltCancelOpening(scope);
    if (!protective) return effects;
    for (const order of this.orders.open()) {
      if (inScope(scope, order)) effects.push(...this.#cancelOne(order.id));
    }
    return effects;
  }

  #cancelOne(orderId: string): RouterEffect[] {
    const order = this.orders.get(orderId);
    if (order === undefined || order.cancelRequested || isFinal(order.state)) return [];
    order.cancelRequested = true;
    return [{ kind: "cancel", orderId }];
  }

  /** Shuts opening orders while books and broker differ. An unknown order may be the reason why cash does. */
  #compare(positions: ReadonlyMap<string, number>, cash: number): string {
    const open = [...this.orders.open()];
    const texts = findDifferences([...this.ledger.books.values()], open, positions).map(
      ({ instrument, expectedLots, actualLots }) =>
        `${instrument}: ${expectedLots} lots in the books, ${actualLots} at the broker`,
    );
    const isUnknown = open.some((order) => order.state === "unknown");
    const gap = cash - this.cash;
    if (!isUnknown && Math.abs(gap) > CASH_TOLERANCE)
      texts.push(`cash: ${gap.toFixed(2)} unexplained`);
    this.openingShut = texts.length > 0;
    return texts.join("; ");
  }

  #report({ order, state, reason }: Extract<AccountOp, { op: "state" }>): void {
    switch (state) {
      case "sent":
        this.onSent(order);
        return;
      case "unknown":
        this.onUnknown(order);
        return;
      case "accepted":
        this.onAccepted(order);
        return;
      case "rejected":
        this.onRejected(order, reason);
        return;
      case "cancelled":
        this.onCancelled(order, reason);
        return;
      case "expired":
        this.onExpired(order, reason);
        return;
    }
  }

  #seal(id: { readonly world: string; readonly strategy: string }, bucket: number): void {
    const account = this.ledger.strategy(id.world, id.strategy);
    if (account !== undefined) this.ledger.seal(account, bucket);
  }

  /** A demoted strategy is in no stage: what closing it costs is no return of one. */
  #sealWorlds(worlds: readonly string[], bucket: number): SealedReturn[] {
    return [...this.ledger.strategies.values()]
      .filter(
        ({ world, demoted, sealedCapital }) =>
          worlds.includes(world) && demoted === null && sealedCapital !== null,
      )
      .map((account) => this.ledger.seal(account, bucket));
  }
}

const NOTHING: RouterResult = { effects: [], refused: [] };
