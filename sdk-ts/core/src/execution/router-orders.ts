import { BoundedLog } from "./bounded-log.ts";
import { type BookId, isFinal, type RouterOrder } from "./router-order.ts";
import type { Book } from "./router-state.ts";

const NONE: readonly RouterOrder[] = [];

/** Orders by id: the open ones by book, and a bounded memory of final ones for fills that come late. */
export class RouterOrders {
  readonly #open = new Map<string, RouterOrder>();
  readonly #openOf = new Map<Readonly<Book>, RouterOrder[]>();
  readonly #bookOf: (id: BookId) => Book;
  readonly #closed: BoundedLog<RouterOrder>;

  constructor(closedOrdersMax: number, bookOf: (id: BookId) => Book) {
    this.#bookOf = bookOf;
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

  openOf(book: Readonly<Book>): readonly RouterOrder[] {
    return this.#openOf.get(book) ?? NONE;
  }

  add(order: RouterOrder): void {
    if (isFinal(order.state)) {
      this.#closed.set(order.id, order);
      return;
    }
    this.#open.set(order.id, order);
    const book = this.#bookOf(order);
    const list = this.#openOf.get(book);
    if (list === undefined) {
      this.#openOf.set(book, [order]);
    } else {
      list.push(order);
    }
  }

  /** Moves an order that has become final out of the open ones. */
  close(order: RouterOrder): void {
    if (!this.#open.delete(order.id)) {
      return;
    }
    const list = this.#openOf.get(this.#bookOf(order));
    if (list?.length === 1) list.length = 0;
    else list?.splice(list.indexOf(order), 1);
    this.#closed.set(order.id, order);
  }
}
