import { appended } from "./appended.ts";
import type { BuyingPower } from "./buying-power.ts";
import { clientOrderId, type OrderIdentity } from "./client-order-id.ts";
import type { LedgerBook } from "./ledger-book.ts";
import {
  type IntentPlan,
  type OrderIntent,
  planFlatten,
  planIntents,
  planOrder,
  planReduction,
} from "./order-intents.ts";
import { checkPretrade, isBelowNotional } from "./pretrade.ts";
import type { RouterLedger } from "./router-ledger.ts";
import type {
  DirectOrderInput,
  OpeningRefusal,
  RefusedIntent,
  RouterOptions,
  RouterResult,
} from "./router-options.ts";
import {
  type BookId,
  type OrderOrigin,
  type OrderTerms,
  type RouterEffect,
  type RouterOrder,
  remainingLots,
} from "./router-order.ts";
import type { RouterOrders } from "./router-orders.ts";
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
  readonly #power: BuyingPower;

  constructor(
    options: Pick<RouterOptions, "account" | "hashHex" | "orderId">,
    ledger: RouterLedger,
    orders: RouterOrders,
    power: BuyingPower,
  ) {
    this.#account = options.account;
    this.#orderId = options.orderId ?? ((identity) => clientOrderId(identity, options.hashHex));
    this.#ledger = ledger;
    this.#orders = orders;
    this.#power = power;
  }

  /**
   * Makes the orders for `target − (position + working)`, see {@link wantedLots}. For a demoted strategy it makes those
   * that its `on_demote` asks for.
   */
  settle(
    book: LedgerBook,
    bucket: number,
    origin: OrderOrigin,
    shut: OpeningRefusal | undefined,
  ): RouterResult {
    const demoted = book.account?.demoted ?? null;
    if (demoted !== null) {
      return demoted === "flat" ? this.flatten(book, bucket, "demote") : NOTHING;
    }
    if (book.target === null) {
      return NOTHING;
    }
    const { working } = book;
    let expected = book.quantity;
    for (const order of working) expected += remainingLots(order);
    const want = wantedLots(book.target, expected);
    const plan = planIntents(book.quantity, working, want);
    const notionalMin = book.target.isPlanned === true ? 0 : book.target.notionalMin;
    const result = this.#carryOut(book, plan, { bucket, origin, notionalMin }, shut);
    book.target = withoutTooLittle(book.target, expected, want, notMadeUp(result.refused));
    return result;
  }

  /** Makes a direct order in addition to the working ones: a close and an open when it goes through zero. */
  submit(
    book: LedgerBook,
    order: DirectOrderInput,
    shut: OpeningRefusal | undefined,
  ): RouterResult {
    const { lots, bucket, terms, reduceOnly = false, notionalMin } = order;
    const plan = planOrder(book.quantity, book.working, lots);
    const reducing = plan.intents.reduce((sum, one) => sum + (one.opening ? 0 : one.lots), 0);
    if (reduceOnly && reducing !== lots) {
      return { effects: [], refused: [refusal(book, lots, "NOT_REDUCING")] };
    }
    const request = { bucket, origin: "plain", terms, notionalMin } as const;
    return this.#carryOut(book, plan, request, shut);
  }

  /** One reduce-only order for what confirmed positions still cover. */
  flatten(book: LedgerBook, bucket: number, origin: OrderOrigin): RouterResult {
    const intent = planFlatten(book.quantity, book.working);
    if (intent === undefined) return NOTHING;
    const order = this.#write(book, intent, { bucket, origin });
    return { effects: [{ kind: "send", order }], refused: [] };
  }

  /** The reduce-only order that takes confirmed positions down to `leftLots`; undefined if none is needed. */
  reduce(
    book: LedgerBook,
    leftLots: number,
    bucket: number,
    origin: OrderOrigin,
  ): RouterOrder | undefined {
    const intent = planReduction(book.quantity, book.working, leftLots);
    return intent === undefined ? undefined : this.#write(book, intent, { bucket, origin });
  }

  #carryOut(
    book: LedgerBook,
    { intents, heldLots }: IntentPlan,
    request: OrderRequest,
    shut: OpeningRefusal | undefined,
  ): RouterResult {
    if (intents.length === 0 && heldLots === 0) return NOTHING;
    let effects: RouterEffect[] | undefined;
    let refused: RefusedIntent[] | undefined;
    if (heldLots !== 0) {
      refused = [refusal(book, heldLots, "ORDER_UNKNOWN")];
    }
    for (const wanted of intents) {
      const isShut = wanted.opening && shut !== undefined;
      const lots = isShut ? wanted.lots : this.#lotsWithinPower(book, wanted, request);
      const intent = lots === wanted.lots || Number.isNaN(lots) ? wanted : { ...wanted, lots };
      const missing = Number.isNaN(lots) ? "MARK_MISSING" : undefined;
      const reason = isShut ? shut : (missing ?? this.#reasonAgainst(book, intent, request));
      if (intent.lots !== wanted.lots) {
        const cutLots = wanted.lots - intent.lots;
        refused = appended(refused, refusal(book, cutLots, "REDUCED_TO_BUYING_POWER"));
      }
      if (intent.lots === 0) continue;
      if (reason === undefined) {
        effects = appended(effects, { kind: "send", order: this.#write(book, intent, request) });
      } else {
        refused = appended(refused, refusal(book, intent.lots, reason));
      }
    }
    return { effects: effects ?? NOTHING.effects, refused: refused ?? NOTHING.refused };
  }

  /** Lots of an intent; of one that opens, what the account's money allows, or NaN where a mark is missing. */
  #lotsWithinPower(
    book: LedgerBook,
    { lots, opening }: OrderIntent,
    { terms }: OrderRequest,
  ): number {
    return opening ? this.#power.lotsToOpen(book.instrument, lots, terms?.price) : lots;
  }

  #reasonAgainst(
    book: LedgerBook,
    intent: OrderIntent,
    { terms, notionalMin = 0 }: OrderRequest,
  ): RefusedIntent["reason"] | undefined {
    const { mark } = book;
    if (intent.opening && mark <= 0) {
      return "MARK_NOT_POSITIVE";
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
    const { lotUnit } = book.spec;
    return checkPretrade(
      {
        // An order that waits for a price above the mark is valued at that price.
        notional: Math.abs(intent.lots) * lotUnit * Math.max(mark, terms?.price ?? 0),
        opening: intent.opening,
        grossAfter: this.#power.grossWith(book.instrument, intent.lots),
      },
      limits,
    );
  }

  /** Why an order is refused for its value; undefined if it is not. One that leaves nothing held is never refused. */
  #reasonOfValue(
    book: LedgerBook,
    { lots, closesAll }: OrderIntent,
    notionalMin: number,
  ): RefusedIntent["reason"] | undefined {
    if (closesAll) {
      return undefined;
    }
    const { mark, spec } = book;
    if (Number.isNaN(mark)) {
      return "MARK_MISSING";
    }
    return isBelowNotional(lots, spec, mark, notionalMin) ? "BELOW_MINIMUM" : undefined;
  }

  /** Order buckets never decrease within a book, so a count of the latest bucket is enough for the sequence. */
  #write(
    book: LedgerBook,
    intent: OrderIntent,
    { bucket, origin, terms }: OrderRequest,
  ): RouterOrder {
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
    const market: RouterOrder = {
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
      filledLots: 0,
      state: "pending",
      cancelRequested: false,
      reason: "",
    };
    const order = terms === undefined ? market : { ...market, terms };
    this.#orders.add(order, book);
    return order;
  }
}

const NOTHING: RouterResult = { effects: [], refused: [] };

const NOT_MADE_UP: ReadonlySet<RefusedIntent["reason"]> = new Set<RefusedIntent["reason"]>([
  "BELOW_MINIMUM",
  "REDUCED_TO_BUYING_POWER",
  "MARGIN_CALL",
]);

/** Lots that were not sent for a reason that nothing later undoes: worth too little, or beyond the account's money. */
function notMadeUp(refused: readonly RefusedIntent[]): number {
  let lots = 0;
  for (const { reason, lots: own } of refused) {
    if (NOT_MADE_UP.has(reason)) lots += own;
  }
  return lots;
}

function refusal(book: BookId, lots: number, reason: RefusedIntent["reason"]): RefusedIntent {
  const { world, strategy, instrument } = book;
  return { world, strategy, instrument, lots, reason };
}
