import type { Db } from "@qmtl/service-kit/db";
import type {
  AcceptReply,
  BrokerBar,
  BrokerBooking,
  BrokerFill,
  BrokerOrder,
  BrokerReport,
  CancelReply,
  LocalBroker,
  RemoteBroker,
  Transfer,
} from "../broker/broker-port.ts";

/** A local broker as if it were elsewhere: each call is a commit of its own, which the router's bookings know nothing of. */
export class RemotePaper implements RemoteBroker {
  readonly arrivalMsMax: number;
  readonly #local: LocalBroker;
  readonly #db: Db;

  constructor(local: LocalBroker, db: Db, arrivalMsMax = 0) {
    this.arrivalMsMax = arrivalMsMax;
    this.#local = local;
    this.#db = db;
  }

  /** Refuses with FENCE_STALE, as memory does, also when the fence was raised behind its back. */
  async accept(order: BrokerOrder): Promise<AcceptReply> {
    let reply: AcceptReply | undefined;
    const isStored = await this.#alone((booking) => {
      reply = booking.accept(order);
    });
    if (!isStored) return { accepted: false, reason: "FENCE_STALE" };
    if (reply === undefined) throw new Error(`no reply for order ${order.id}`);
    return reply;
  }

  async cancel(orderId: string): Promise<CancelReply> {
    let reply: CancelReply = "unknown";
    await this.#alone((booking) => {
      reply = booking.cancel(orderId);
    });
    return reply;
  }

  async onBars(bars: readonly BrokerBar[]): Promise<BrokerReport> {
    let report: BrokerReport = { fills: [], cancelled: [] };
    await this.#alone((booking) => {
      report = booking.playBars(bars);
    });
    return report;
  }

  registerFence(worldId: string, fence: number): Promise<void> {
    return this.#local.registerFence(worldId, fence);
  }

  lookup(orderIds: readonly string[]) {
    return this.#local.lookup(orderIds);
  }

  executions(afterSequence: number): Promise<readonly BrokerFill[]> {
    return this.#local.executions(afterSequence);
  }

  positions(): Promise<ReadonlyMap<string, number>> {
    return this.#local.positions();
  }

  cash(): Promise<number> {
    return this.#local.cash();
  }

  tellFinanced(cost: number): void {
    this.#local.tellFinanced(cost);
  }

  transfer(batchId: string, sides: readonly Transfer[]): Promise<void> {
    return this.#local.transfer(batchId, sides);
  }

  /** One booking after the other; false when its condition does not hold. */
  #alone(perform: (booking: BrokerBooking) => void): Promise<boolean> {
    const done = this.#tail.then(async () => {
      const booking = await this.#local.prepare();
      try {
        perform(booking);
        const writes = await booking.writes();
        const condition = booking.condition(false);
        if (condition === undefined) await writes.storeIn(this.#db);
        else if (!(await writes.storeIf(this.#db, [condition]))) {
          booking.undone();
          return false;
        }
      } catch (failure) {
        booking.undone();
        throw failure;
      }
      await booking.stored();
      return true;
    });
    this.#tail = done.catch(() => {});
    return done;
  }

  #tail: Promise<unknown> = Promise.resolve();
}
