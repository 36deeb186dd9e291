import { rowsTogetherMax } from "../../store/writes.ts";
import { type AcceptReply, type BrokerOrder, ReplyLost } from "./broker-port.ts";

interface ArrivingOrder {
  readonly order: BrokerOrder;
  readonly resolve: (reply: AcceptReply) => void;
  readonly reject: (failure: unknown) => void;
}

/** Takes orders in, in order and several at a time: those handed over before the first of them is taken go together. */
export class ArrivingOrders {
  readonly #takeSome: (orders: readonly BrokerOrder[]) => Promise<(AcceptReply | undefined)[]>;
  /** Orders that wait, and those being taken in. */
  readonly #arriving: ArrivingOrder[] = [];

  /** `takeSome` is given 1 to `rowsTogetherMax` orders; an undefined reply is one that is lost. */
  constructor(takeSome: (orders: readonly BrokerOrder[]) => Promise<(AcceptReply | undefined)[]>) {
    this.#takeSome = takeSome;
  }

  /** Rejects with `ReplyLost`, or with the failure of its batch. */
  accept(order: BrokerOrder): Promise<AcceptReply> {
    return new Promise((resolve, reject) => {
      this.#arriving.push({ order, resolve, reject });
      if (this.#arriving.length === 1) queueMicrotask(() => void this.#takeAll());
    });
  }

  async #takeAll(): Promise<void> {
    while (this.#arriving.length > 0) {
      const some = this.#arriving.slice(0, rowsTogetherMax);
      try {
        const replies = await this.#takeSome(some.map(({ order }) => order));
        for (const [at, { order, resolve, reject }] of some.entries()) {
          const reply = replies[at];
          if (reply === undefined) reject(new ReplyLost(`no reply for order ${order.id}`));
          else resolve(reply);
        }
      } catch (failure) {
        for (const { reject } of some) reject(failure);
      }
      this.#arriving.splice(0, some.length);
    }
  }
}
