import { BoundedLog } from "./bounded-log.ts";
import type { LedgerBook } from "./ledger-book.ts";
import { OrderIndex } from "./order-index.ts";
import type { RouterOrder } from "./router-order.ts";

/** Orders by id: the open ones, which their books list too, and a bounded memory of final ones for fills that come late. */
export class RouterOrders {
  readonly #open = new OrderIndex<RouterOrder>();
  readonly #closed: BoundedLog<RouterOrder> | undefined;

  /** @param closedOrdersMax final orders remembered; 0: none */
  constructor(closedOrdersMax: number) {
    this.#closed = closedOrdersMax === 0 ? undefined : new BoundedLog(closedOrdersMax);
  }

  get(id: string): RouterOrder | undefined {
    return this.#open.get(id) ?? this.#closed?.get(id);
  }

  /** To be read before the next change. */
  open(): Iterable<RouterOrder> {
    return this.#open.values();
  }

  closed(): RouterOrder[] {
    return this.#closed?.values() ?? [];
  }

  /** Takes an order that is not final. */
  add(order: RouterOrder, book: LedgerBook): void {
    this.#open.set(order);
    book.working.push(order);
  }

  /** Remembers a final order. */
  addClosed(order: RouterOrder): void {
    this.#closed?.set(order.id, order);
  }

  /** Moves an order that has become final out of the open ones. */
  close(order: RouterOrder, book: LedgerBook): void {
    if (!this.#open.delete(order.id)) return;
    const { working } = book;
    if (working[working.length - 1] === order) working.pop();
    else working.splice(working.indexOf(order), 1);
    this.addClosed(order);
  }
}
