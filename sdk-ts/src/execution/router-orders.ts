import { BoundedLog } from "./bounded-log.ts";
import { bookKey } from "./router-ledger.ts";
import { isFinal, type RouterOrder } from "./router-order.ts";

/** Orders by id: the open ones by book, and a bounded memory of final ones for fills that come late. */
export class RouterOrders {
  readonly #open = new Map<string, RouterOrder>();
  readonly #openOf = new Map<string, RouterOrder[]>();
  readonly #closed: BoundedLog<RouterOrder>;

  constructor(closedOrdersMax: number) {
    this.#closed = new BoundedLog(closedOrdersMax);
  }

  get(id: string): RouterOrder | undefined {
    return this.#open.get(id) ?? this.#closed.get(id);
  }

  open(): Iterable<RouterOrder> {
    return this.#open.values();
  }

  closed(): RouterOrder[] {
    return this.#closed.values();
  }

  openOf(key: string): readonly RouterOrder[] {
    return this.#openOf.get(key) ?? [];
  }

  add(order: RouterOrder): void {
    if (isFinal(order.state)) {
      this.#closed.set(order.id, order);
      return;
    }
    this.#open.set(order.id, order);
    const key = bookKey(order);
    const list = this.#openOf.get(key);
    if (list === undefined) {
      this.#openOf.set(key, [order]);
    } else {
      list.push(order);
    }
  }

  /** Moves an order that has become final out of the open ones. */
  close(order: RouterOrder): void {
    if (!this.#open.delete(order.id)) {
      return;
    }
    const list = this.#openOf.get(bookKey(order));
    list?.splice(list.indexOf(order), 1);
    this.#closed.set(order.id, order);
  }
}
