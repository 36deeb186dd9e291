import {
  type BookId,
  isFinal,
  OrderRouter,
  type PositionDifference,
  type RouterEffect,
  type RouterOptions,
  type RouterResult,
  remainingLots,
  type SealedReturn,
  type TargetOutcome,
} from "@qmtl/sdk/execution";
import type { JournalOp, OpScope } from "./journal-op.ts";

/** What an operation led to. */
export interface Outcome extends RouterResult {
  readonly target?: TargetOutcome;
  readonly sealed?: readonly SealedReturn[];
  readonly difference?: string;
}

/** Adjustments of positions that belong to no strategy are kept under this name. */
export const unassigned = { world: "", strategy: "" } as const;

/** Money that may differ between books and broker from float noise, account currency. */
const cashTolerance = 0.01;

/**
 * The router's core of one account with what a gateway needs besides: comparing with a broker without sending,
 * series that begin at the capital of the stage, cancels of protective orders, and `apply`, by which both the
 * running router and the replay of the journal drive it.
 */
export class AccountCore extends OrderRouter {
  constructor(options: RouterOptions) {
    super(options);
  }

  /** Performs one journaled operation. */
  apply(op: JournalOp): Outcome {
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
        this.bookAdjustment({ ...unassigned, ...op });
        return NOTHING;
      case "note":
        return NOTHING;
    }
  }

  get cash(): number {
    return this.ledger.accountCash;
  }

  mark(instrument: string): number | undefined {
    return this.ledger.marks.get(instrument);
  }

  lotUnit(instrument: string): number {
    return this.ledger.instrument(instrument).lotUnit;
  }

  knows(instrument: string): boolean {
    try {
      this.ledger.instrument(instrument);
      return true;
    } catch {
      return false;
    }
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

  wasExecuted(batchId: string): boolean {
    return this.batches.has(batchId);
  }

  #cancel(scope: OpScope, protective: boolean): RouterEffect[] {
    const effects = this.haltCancelOpening(scope);
    if (!protective) return effects;
    for (const order of this.orders.open()) {
      const isMeant =
        (scope.world === undefined || scope.world === order.world) &&
        (scope.strategy === undefined || scope.strategy === order.strategy);
      if (isMeant) effects.push(...this.#cancelOne(order.id));
    }
    return effects;
  }

  #cancelOne(orderId: string): RouterEffect[] {
    const order = this.orders.get(orderId);
    if (order === undefined || order.cancelRequested || isFinal(order.state)) return [];
    order.cancelRequested = true;
    return [{ kind: "cancel", orderId }];
  }

  /** Shuts opening orders while books and broker differ; says how, for people. Empty when they agree. */
  #compare(positions: ReadonlyMap<string, number>, cash: number): string {
    const open = [...this.orders.open()];
    const texts = this.#positionDifferences(positions).map(
      ({ instrument, expectedLots, actualLots }) =>
        `${instrument}: ${expectedLots} lots in the books, ${actualLots} at the broker`,
    );
    const isUnknown = open.some((order) => order.state === "unknown");
    const gap = cash - this.cash;
    if (!isUnknown && Math.abs(gap) > cashTolerance)
      texts.push(`cash: ${gap.toFixed(2)} unexplained`);
    this.openingShut = texts.length > 0;
    return texts.join("; ");
  }

  #positionDifferences(positions: ReadonlyMap<string, number>): PositionDifference[] {
    const expected = new Map([...positions.keys()].map((instrument) => [instrument, 0]));
    for (const { instrument, quantity } of this.ledger.books.values()) {
      expected.set(instrument, (expected.get(instrument) ?? 0) + quantity);
    }
    const differences: PositionDifference[] = [];
    for (const [instrument, expectedLots] of expected) {
      const actualLots = positions.get(instrument) ?? 0;
      let low = 0;
      let high = 0;
      for (const order of this.orders.open()) {
        if (order.instrument !== instrument || order.state !== "unknown") continue;
        const lots = remainingLots(order);
        low += Math.min(lots, 0);
        high += Math.max(lots, 0);
      }
      const gap = actualLots - expectedLots;
      if (gap < low || gap > high) differences.push({ instrument, expectedLots, actualLots });
    }
    return differences;
  }

  #report(op: Extract<JournalOp, { op: "state" }>): void {
    const { order, reason } = op;
    switch (op.state) {
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
