import type { ClockTimer } from "@qmtl/service-kit";
import { isLocal } from "../broker/broker-port.ts";
import type { AccountRouter } from "./account-router.ts";
import type { Booking } from "./booking.ts";
import { placeCancel } from "./send-orders.ts";

/** Pause before a late order is cancelled again, milliseconds. */
const againMs = 1_000;

/**
 * Orders of one account that were not written in time, and are not known to be closed. Each is cancelled until that
 * succeeds, or until it turns out that it was never written.
 */
export class LateOrders {
  readonly #router: AccountRouter;
  readonly #open = new Set<string>();
  #again: ClockTimer | undefined;
  /** That they are still open was logged. */
  #isTold = false;
  #isStopped = false;

  constructor(router: AccountRouter) {
    this.#router = router;
  }

  add(orderIds: readonly string[]): void {
    for (const id of orderIds) this.#open.add(id);
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
    const orders = [...this.#open];
    try {
      const reports = router.booking();
      await this.#cancel(orders, reports);
      await router.commit(reports);
    } catch (error) {
      if (!this.#isTold)
        logger.warn("a late order is not cancelled yet", { account, orders, error });
      this.#isTold = true;
      this.#tryAgain();
      throw error;
    }
    this.#isTold = false;
    for (const order of orders) {
      this.#open.delete(order);
      const state = router.core.order(order)?.state ?? "not written";
      logger.info("a late order is closed", { account, order, state });
    }
    this.#again?.cancel();
    this.#again = undefined;
  }

  /** Nothing is tried again after this. Only this process knows that the orders left are late. */
  stop(): void {
    this.#isStopped = true;
    this.#again?.cancel();
  }

  /** Whatever a broker answers, it fills none of them any more: one that it has never seen did not reach it. */
  async #cancel(orders: readonly string[], reports: Booking): Promise<void> {
    const router = this.#router;
    const { broker } = router.deps;
    if (isLocal(broker)) {
      reports.atBroker = await broker.prepare();
      for (const id of orders) placeCancel(router, id, reports.atBroker, reports);
      return;
    }
    for (const id of orders) {
      if ((await broker.cancel(id)) !== "cancelled") continue;
      const row = router.rowOf(router.core.order(id)?.world ?? "");
      reports.report(id, "cancelled", row, "asked for");
    }
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
