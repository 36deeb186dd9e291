import type { ClockTimer } from "@qmtl/service-kit";
import { isLocal } from "../broker/broker-port.ts";
import type { AccountRouter } from "./account-router.ts";
import type { Booking } from "./booking.ts";
import { placeCancel } from "./send-orders.ts";

/** Pause before a late order is cancelled again, milliseconds. */
const againMs = 1_000;

/**
 * Orders of one account that were not written in time, and are not known to be closed. Each is cancelled until that
 * succeeds, or until it turns out that it was never written, or can no longer reach its broker.
 */
export class LateOrders {
  readonly #router: AccountRouter;
  /** When each was added, monotonic milliseconds. */
  readonly #open = new Map<string, number>();
  #again: ClockTimer | undefined;
  /** That they are still open was logged. */
  #isTold = false;
  #isStopped = false;

  constructor(router: AccountRouter) {
    this.#router = router;
  }

  add(orderIds: readonly string[]): void {
    const nowMs = this.#router.deps.clock.monotonicMs();
    for (const id of orderIds) if (!this.#open.has(id)) this.#open.set(id, nowMs);
  }

  /**
   * Cancels all of them. Call it only within an exclusive operation of the account, whose books are what is stored.
   *
   * @throws what failed: at least one may still be filled. It is tried again a second later.
   */
  async close(): Promise<void> {
    if (this.#open.size === 0) return;
    const router = this.#router;
    const { account } = router;
    const { logger } = router.deps;
    const orders = [...this.#open.keys()];
    try {
      const reports = router.booking();
      const onTheirWay = await this.#cancel(orders, reports);
      await router.commit(reports);
      this.#closed(orders.filter((id) => !onTheirWay.includes(id)));
      if (onTheirWay.length > 0)
        throw new Error(`the broker does not know ${onTheirWay.join(", ")} yet`);
    } catch (error) {
      if (!this.#isTold)
        logger.warn("a late order is not cancelled yet", { account, orders, error });
      this.#isTold = true;
      this.#tryAgain();
      throw error;
    }
    this.#isTold = false;
    this.#again?.cancel();
    this.#again = undefined;
  }

  #closed(orders: readonly string[]): void {
    const { account, core, deps } = this.#router;
    for (const order of orders) {
      this.#open.delete(order);
      const state = core.order(order)?.state ?? "not written";
      deps.logger.info("a late order is closed", { account, order, state });
    }
  }

  /** Nothing is tried again after this. Only this process knows that the orders left are late. */
  stop(): void {
    this.#isStopped = true;
    this.#again?.cancel();
  }

  /**
   * Cancels orders at the broker. Resolves to those that it does not know and that may still arrive there: whatever it
   * answers of the others, it fills none of them any more.
   */
  async #cancel(orders: readonly string[], reports: Booking): Promise<readonly string[]> {
    const router = this.#router;
    const { broker, clock } = router.deps;
    if (isLocal(broker)) {
      reports.atBroker = await broker.prepare();
      for (const id of orders) placeCancel(router, id, reports.atBroker, reports);
      return [];
    }
    const onTheirWay: string[] = [];
    for (const id of orders) {
      const askedMs = clock.monotonicMs();
      const reply = await broker.cancel(id);
      const sinceMs = this.#open.get(id) ?? askedMs;
      if (reply === "unknown" && askedMs - sinceMs < broker.arrivalMsMax) onTheirWay.push(id);
      if (reply !== "cancelled") continue;
      const row = router.rowOf(router.core.order(id)?.world ?? "");
      reports.report(id, "cancelled", row, "asked for");
    }
    return onTheirWay;
  }

  #tryAgain(): void {
    if (this.#isStopped) return;
    this.#again?.cancel();
    this.#again = this.#router.deps.clock.setTimer(() => {
      // What fails is logged, and tried again.
      this.#router.stored().catch(() => this.#tryAgain());
    }, againMs);
  }
}
