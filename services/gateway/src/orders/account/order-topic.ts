import {
  type CountedChange,
  countedChangeWrites,
  countTopics,
  type TopicCount,
  worldTopicKey,
} from "@qmtl/service-kit/control";
import type { Db } from "@qmtl/service-kit/db";
import type { SqlWrite } from "../../store/writes.ts";
import type { OrderEvents } from "../store/order-events.ts";
import { listOrders, type OrderAfter, type OrderChange, readOrders } from "../store/order-table.ts";
import type { AccountSettings } from "./account-settings.ts";

/** The control events of a booking, and the revisions that its topic keys have once it is stored. */
export interface OrderNews {
  readonly writes: readonly SqlWrite[];
  readonly orders: readonly OrderAfter[];
  readonly counts: ReadonlyMap<string, TopicCount>;
}

const page = 1_000;
const finalStates: ReadonlySet<string> = new Set(["filled", "cancelled", "rejected", "expired"]);

/**
 * Topic ORDER of the worlds that trade on one account: each order as it is stored, after each booking that changes it.
 * Only the account's router writes its keys, so it counts their revisions itself, and the events are part of the
 * statement that stores the booking.
 */
export class OrderTopic {
  readonly #db: Db;
  readonly #settings: AccountSettings;
  readonly #events: OrderEvents;
  #working = new Map<string, OrderAfter>();
  #counts = new Map<string, TopicCount>();

  constructor(db: Db, settings: AccountSettings, events: OrderEvents) {
    this.#db = db;
    this.#settings = settings;
    this.#events = events;
  }

  /**
   * Reads the stored working orders. Call it before the first booking, and after one that is not known to be stored.
   */
  async load(): Promise<void> {
    const { account } = this.#settings;
    const working = new Map<string, OrderAfter>();
    const filter = { account, world: "", strategy: "", workingOnly: true };
    for (let after = 0; ; ) {
      const rows = await listOrders(this.#db, filter, after, page);
      for (const row of rows) working.set(row.id, row);
      if (rows.length < page) break;
      after = rows.at(-1)?.position ?? after;
    }
    this.#working = working;
    this.#counts = new Map();
  }

  /** Makes the control events of a booking: for the orders it made, and for those it changed. */
  async news(
    made: readonly OrderAfter[],
    changed: readonly OrderChange[],
    nowMs: number,
  ): Promise<OrderNews> {
    const orders = [...made, ...(await this.#changed(changed))].filter(({ world }) => world !== "");
    if (orders.length === 0) return { writes: [], orders, counts: new Map() };
    await this.#count(orders);
    const counts = new Map<string, TopicCount>();
    const changes = orders.map((order): CountedChange => {
      const topicKey = worldTopicKey(order.world, "order");
      const { revision, storeEpoch } = counts.get(topicKey) ?? this.#counts.get(topicKey)!;
      const next = { revision: revision + 1, storeEpoch };
      counts.set(topicKey, next);
      const payload = this.#events.orderUpdated(this.#settings.instruments, order);
      return { ...next, topicKey, subject: order.id, payload };
    });
    return { writes: countedChangeWrites("gateway", changes, nowMs), orders, counts };
  }

  /** Call it once the booking is stored. */
  stored({ orders, counts }: OrderNews): void {
    for (const [key, count] of counts) this.#counts.set(key, count);
    for (const order of orders) {
      if (finalStates.has(order.state)) this.#working.delete(order.id);
      else this.#working.set(order.id, order);
    }
  }

  async #changed(changes: readonly OrderChange[]): Promise<OrderAfter[]> {
    // A fill may come after an order has ended.
    const ended = changes.filter(({ id }) => !this.#working.has(id)).map(({ id }) => id);
    const rows = ended.length === 0 ? [] : await readOrders(this.#db, ended);
    const others = new Map(rows.map((row) => [row.id, row]));
    return changes.flatMap(({ filledValue, ...change }) => {
      const before = this.#working.get(change.id) ?? others.get(change.id);
      if (before === undefined) return [];
      return [{ ...before, ...change, filledValue: before.filledValue + filledValue }];
    });
  }

  async #count(orders: readonly OrderAfter[]): Promise<void> {
    const keys = new Set(orders.map(({ world }) => worldTopicKey(world, "order")));
    const unknown = [...keys].filter((key) => !this.#counts.has(key));
    if (unknown.length === 0) return;
    const found = await countTopics(this.#db, "gateway", unknown);
    for (const [key, count] of found) this.#counts.set(key, count);
  }
}
