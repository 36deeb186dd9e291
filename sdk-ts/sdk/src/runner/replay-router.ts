import {
  AccountCore,
  type AccountOp,
  type AccountOutcome,
  type RouterOrder,
} from "@qmtl/core/execution";

/** The core of an account driven by the operations of a journal. Collects the orders they make. */
export class ReplayRouter extends AccountCore {
  readonly made: Readonly<RouterOrder>[] = [];

  /**
   * Performs one operation. A fill of an order that is not made now has nowhere to go; the comparison of orders tells
   * of it.
   */
  override apply(op: AccountOp): AccountOutcome {
    const outcome = super.apply(op);
    for (const effect of outcome.effects) {
      if (effect.kind === "send") this.made.push({ ...effect.order });
    }
    return outcome;
  }
}
