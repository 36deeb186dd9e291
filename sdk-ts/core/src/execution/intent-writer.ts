import { clientOrderId, type OrderIdentity } from "./client-order-id.ts";
import {
  type IntentPlan,
  type OrderIntent,
  planFlatten,
  planIntents,
  planOrder,
} from "./order-intents.ts";
import { checkPretrade, isBelowNotional } from "./pretrade.ts";
import type { RouterLedger } from "./router-ledger.ts";
import type {
  DirectOrderInput,
  RefusedIntent,
  RouterOptions,
  RouterResult,
} from "./router-options.ts";
import {
  type OrderOrigin,
  type OrderTerms,
  type RouterEffect,
  type RouterOrder,
  remainingLots,
} from "./router-order.ts";
import type { RouterOrders } from "./router-orders.ts";
import type { Book } from "./router-state.ts";
import { wantedLots, withoutTooLittle } from "./wanted-lots.ts";

/** What an order is made with, besides its lots. */
interface OrderRequest {
  readonly bucket: number;
  readonly origin: OrderOrigin;
  readonly terms?: OrderTerms | undefined;
  /** @default 0 */
  readonly notionalMin?: number | undefined;
}

/** Turns the difference between a book and its target, or a direct order, into orders, once. For the router alone. */
export class IntentWriter {
  readonly #account: string;
  readonly #orderId: (identity: OrderIdentity) => string;
  readonly #ledger: RouterLedger;
  readonly #orders: RouterOrders;

  constructor(
    options: Pick<RouterOptions, "account" | "hashHex" | "orderId">,
    ledger: RouterLedger,
    orders: RouterOrders,
  ) {
    this.#account = options.account;
    this.#orderId = options.orderId ?? ((identity) => clientOrderId(identity, options.hashHex));
    this.#ledger = ledger;
    this.#orders = orders;
  }

  /**
   * Makes the orders for `target − (position + working)`, see {@link wantedLots}. For a demoted strategy it makes those
   * that its `on_demote` asks for.
   */
  settle(book: Book, bucket: number, origin: OrderOrigin, openingShut: boolean): RouterResult {
    const demoted = this.#ledger.strategy(book.world, book.strategy)?.demoted ?? null;
    if (demoted !== null) {
      return demoted === "flat"
        ? this.flatten(book, bucket, "demote")
        : { effects: [], refused: [] };
    }
    if (book.target === null) {
      return { effects: [], refused: [] };
    }
    const working = this.#orders.openOf(book);
    const expected = working.reduce((sum, order) => sum + remainingLots(order), book.quantity);
    const want = wantedLots(book.target, expected);
    const plan = planIntents(book.quantity, working, want);
    const notionalMin = book.target.isPlanned === true ? 0 : book.target.notionalMin;
    const result = this.#carryOut(book, plan, { bucket, origin, notionalMin }, openingShut);
    book.target = withoutTooLittle(book.target, expected, want, belowMinimum(result.refused));
    return result;
  }

  /** Makes a direct order in addition to the working ones: a close and an open when it goes through zero. */
  submit(book: Book, order: DirectOrderInput, openingShut: boolean): RouterResult {
    const { lots, bucket, terms, reduceOnly = false, notionalMin } = order;
    const plan = planOrder(book.quantity, this.#orders.openOf(book), lots);
    const reducing = plan.intents.reduce((sum, one) => sum + (one.opening ? 0 : one.lots), 0);
    if (reduceOnly && reducing !== lots) {
      return { effects: [], refused: [refusal(book, lots, "NOT_REDUCING")] };
    }
    const request = { bucket, origin: "plain", terms, notionalMin } as const;
    return this.#carryOut(book, plan, request, openingShut);
  }

  /** One reduce-only order for what confirmed positions still cover. */
  flatten(book: Book, bucket: number, origin: OrderOrigin): RouterResult {
    const intent = planFlatten(book.quantity, this.#orders.openOf(book));
    if (intent === undefined) {
      return { effects: [], refused: [] };
    }
    const order = this.#write(book, intent, { bucket, origin });
    return { effects: [{ kind: "send", order }], refused: [] };
  }

  #carryOut(
    book: Book,
    { intents, heldLots }: IntentPlan,
    request: OrderRequest,
    openingShut: boolean,
  ): RouterResult {
    const effects: RouterEffect[] = [];
    const refused: RefusedIntent[] = [];
    if (heldLots !== 0) {
      refused.push(refusal(book, heldLots, "ORDER_UNKNOWN"));
    }
    for (const intent of intents) {
      const reason = this.#reasonAgainst(book, intent, request, openingShut);
      if (reason === undefined) {
        effects.push({ kind: "send", order: this.#write(book, intent, request) });
      } else {
        refused.push(refusal(book, intent.lots, reason));
      }
    }
    return { effects, refused };
  }

  #reasonAgainst(
    book: Book,
    intent: OrderIntent,
    { terms, notionalMin = 0 }: OrderRequest,
    openingShut: boolean,
  ): RefusedIntent["reason"] | undefined {
    if (intent.opening && openingShut) {
      return "OPENING_SHUT";
    }
    const worth = notionalMin > 0 ? this.#reasonOfValue(book, intent, notionalMin) : undefined;
    if (worth !== undefined) {
      return worth;
    }
    const { limits } = this.#ledger;
    const { orderNotionalMax, grossNotionalMax } = limits;
    if (orderNotionalMax === undefined && grossNotionalMax === undefined) {
      return undefined;
    }
    const mark = this.#ledger.marks.get(book.instrument) ?? Number.NaN;
    const lotUnit = this.#ledger.instrument(book.instrument).lotUnit;
    return checkPretrade(
      {
        // An order that waits for a price above the mark is valued at that price.
        notional: Math.abs(intent.lots) * lotUnit * Math.max(mark, terms?.price ?? 0),
        opening: intent.opening,
        grossAfter: this.#grossWith(book.instrument, intent.lots),
      },
      limits,
    );
  }

  /** Why an order is refused for its value; undefined if it is not. One that leaves nothing held is never refused. */
  #reasonOfValue(
    book: Book,
    { lots, closesAll }: OrderIntent,
    notionalMin: number,
  ): RefusedIntent["reason"] | undefined {
    if (closesAll) {
      return undefined;
    }
    const mark = this.#ledger.marks.get(book.instrument);
    if (mark === undefined) {
      return "MARK_MISSING";
    }
    const instrument = this.#ledger.instrument(book.instrument);
    return isBelowNotional(lots, instrument, mark, notionalMin) ? "BELOW_MINIMUM" : undefined;
  }

  /** Σ over instruments of |net held and working lots| × lot unit × mark, with `lots` more of one. */
  #grossWith(instrument: string, lots: number): number {
    const net = new Map<string, number>([[instrument, lots]]);
    for (const book of this.#ledger.books.values()) {
      net.set(book.instrument, (net.get(book.instrument) ?? 0) + book.quantity);
    }
    for (const order of this.#orders.open()) {
      net.set(order.instrument, (net.get(order.instrument) ?? 0) + remainingLots(order));
    }
    let gross = 0;
    for (const [symbol, total] of net) {
      if (total !== 0) {
        const mark = this.#ledger.marks.get(symbol) ?? Number.NaN;
        gross += Math.abs(total) * this.#ledger.instrument(symbol).lotUnit * mark;
      }
    }
    return gross;
  }

  /** Order buckets never decrease within a book, so a count of the latest bucket is enough for the sequence. */
  #write(book: Book, intent: OrderIntent, { bucket, origin, terms }: OrderRequest): RouterOrder {
    const orderBucket = Math.max(bucket, book.orderBucket);
    book.orderCount = orderBucket === book.orderBucket ? book.orderCount + 1 : 1;
    book.orderBucket = orderBucket;
    const identity = {
      account: this.#account,
      world: book.world,
      strategy: book.strategy,
      instrument: book.instrument,
      bucket: orderBucket,
      intentSequence: book.orderCount - 1,
    };
    const order: RouterOrder = {
      account: identity.account,
      world: book.world,
      strategy: book.strategy,
      instrument: book.instrument,
      bucket: orderBucket,
      intentSequence: identity.intentSequence,
      id: this.#orderId(identity),
      lots: intent.lots,
      side: intent.side,
      opening: intent.opening,
      reduceOnly: intent.reduceOnly,
      origin,
      ...(terms === undefined ? {} : { terms }),
      filledLots: 0,
      state: "pending",
      cancelRequested: false,
      reason: "",
    };
    this.#orders.add(order);
    return order;
  }
}

/** Lots that were not sent because they are worth too little. */
function belowMinimum(refused: readonly RefusedIntent[]): number {
  let lots = 0;
  for (const one of refused) if (one.reason === "BELOW_MINIMUM") lots += one.lots;
  return lots;
}

function refusal(book: Book, lots: number, reason: RefusedIntent["reason"]): RefusedIntent {
  const { world, strategy, instrument } = book;
  return { world, strategy, instrument, lots, reason };
}
