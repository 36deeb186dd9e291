import { OrderRouter, type RouterOrder } from "../execution/index.ts";
import { findDifferences } from "../execution/reconcile-positions.ts";
import type { ReplayOp } from "./replay-op.ts";

/** Money that may differ between books and broker from float noise, account currency. */
const CASH_TOLERANCE = 0.01;

/** Operations that may make orders. */
type DecidingOp = "set_target" | "submit_order" | "rearm" | "rebalance" | "demote" | "flatten";

/** The router's core driven by the operations of a journal. Collects the orders they make. */
export class ReplayRouter extends OrderRouter {
  readonly made: Readonly<RouterOrder>[] = [];

  /** Performs one operation; notes do nothing. */
  apply(op: ReplayOp): void {
    const { effects } = this.#perform(op) ?? { effects: [] };
    for (const effect of effects) if (effect.kind === "send") this.made.push({ ...effect.order });
  }

  #perform(op: ReplayOp): ReturnType<OrderRouter["rearm"]> | undefined {
    switch (op.op) {
      case "set_target":
        return this.setTarget(op);
      case "submit_order":
        return this.submitOrder(op);
      case "rearm":
        return this.rearm(op);
      case "rebalance":
        return this.executeRebalance(op.input);
      case "demote":
        return this.demote(op);
      case "flatten":
        return this.flatten({ ...given(op.scope), bucket: op.bucket, origin: op.origin });
      default:
        this.#report(op);
        return undefined;
    }
  }

  #report(op: Exclude<ReplayOp, { op: DecidingOp }>): void {
    switch (op.op) {
      case "note":
      case "cancel_order": // asked for; what came of it is in the reports
        return;
      case "cancel":
        this.haltCancelOpening(given(op.scope));
        return;
      case "compare":
        this.#compare(new Map(op.positions), op.cash);
        return;
      case "allocate":
        this.setAllocation(op.input);
        return;
      case "fill":
        this.#bookFill(op.fill);
        return;
      case "bar":
        for (const { instrument, close } of op.marks) this.onMark(instrument, close);
        return;
      case "adjust_cash":
        this.ledger.accountCash += op.cash;
        return;
      case "adjust_position":
        this.bookAdjustment({ world: "", strategy: "", ...op });
        return;
      case "state":
        this.#changeState(op);
    }
  }

  /** A fill of an order that is not made now has nowhere to go; the comparison of orders tells of it. */
  #bookFill({ book, ...fill }: Extract<ReplayOp, { op: "fill" }>["fill"]): void {
    this.onFill(book === undefined ? fill : { ...fill, book });
  }

  #compare(positions: ReadonlyMap<string, number>, cash: number): void {
    const open = [...this.orders.open()];
    const differences = findDifferences([...this.ledger.books.values()], open, positions);
    const isUnknown = open.some((order) => order.state === "unknown");
    const isCashOff = Math.abs(cash - this.ledger.accountCash) > CASH_TOLERANCE;
    this.openingShut = differences.length > 0 || (!isUnknown && isCashOff);
  }

  #changeState({ order, state, reason }: Extract<ReplayOp, { op: "state" }>): void {
    if (state === "sent") this.onSent(order);
    else if (state === "unknown") this.onUnknown(order);
    else if (state === "accepted") this.onAccepted(order);
    else if (state === "rejected") this.onRejected(order, reason);
    else if (state === "cancelled") this.onCancelled(order, reason);
    else this.onExpired(order, reason);
  }
}

interface Scope {
  readonly world?: string;
  readonly strategy?: string;
}

function given(scope: { world?: string | undefined; strategy?: string | undefined }): Scope {
  const { world, strategy } = scope;
  return {
    ...(world === undefined ? {} : { world }),
    ...(strategy === undefined ? {} : { strategy }),
  };
}
