import {
  lotsFromQuantity,
  type OrderTerms,
  refusalReason,
  weightedQuantity,
  wholeLots,
} from "@qmtl/core/execution";
import type { ReasonName } from "@qmtl/sdk/rpc";
import type { Tx } from "@qmtl/service-kit/db";
import { Decimal } from "decimal.js";
import type { AccountRouter } from "../account/account-router.ts";
import type { Booking } from "../account/booking.ts";
import { reasonOfRefusal, refusalOfLease } from "../account/gate-reasons.ts";
import { PermissionLost } from "../account/order-permission.ts";
import type { StatedClaim, WorldGate } from "../account/world-gate.ts";
import type { Halt } from "../store/halts.ts";
import type { OrderWorld } from "../store/order-world.ts";

/** A direct order as its strategy states it. */
interface StatedOrder {
  readonly strategy: string;
  readonly instrument: string;
  /** Signed decimal string in units of the instrument, above 0 buys. */
  readonly quantity: string;
  /** Undefined for a market order, null when type and prices contradict each other. */
  readonly terms: OrderTerms | null | undefined;
  /** Price of the terms as it was stated, decimal; empty for a market order. */
  readonly price: string;
  readonly reduceOnly: boolean;
  readonly row: number;
  /** End of the bucket it was decided on, epoch milliseconds. */
  readonly bucket: number;
}

/** A SubmitOrders call. */
export interface DirectOrderCall {
  readonly world: string;
  readonly claim: StatedClaim;
  readonly orders: readonly StatedOrder[];
  readonly requestId: string;
  /** Equal for calls that ask for the same orders, under whichever session or lease. */
  readonly requestHash: string;
}

/** Outcome of one direct order. */
export interface DirectOrderVerdict {
  /** It is in the journal and may leave. */
  readonly accepted: boolean;
  /** Why it, or a part of it, may not; empty otherwise. */
  readonly reason: string;
  /** What it became in the journal: two orders when it goes through zero. */
  readonly orders: readonly string[];
  /** Halts that keep it from leaving. */
  readonly haltIds?: readonly string[];
}

/** One call's orders. */
interface DirectOrderTurn {
  readonly world: OrderWorld;
  readonly claim: StatedClaim;
  readonly orders: readonly StatedOrder[];
  readonly requestId: string;
  /** Up to when buckets have closed in the timeline of the account's feeds, milliseconds; see `BarrierEnds.closedMs`. */
  readonly closedMs: number;
  /** Stores the verdicts in the transaction that journals the orders. */
  readonly keep: (verdicts: readonly DirectOrderVerdict[]) => (tx: Tx) => Promise<void>;
}

/**
 * Makes direct orders, once, in one transaction with the answer, and sends them. An order that may not leave now never
 * will: unlike a target, a refused order is forgotten. An order is refused when it is under another fence, without an order lease of its
 * session or from another session than the emitter, while a halt covers the strategy, and when its bucket closed before the gate
 * opened, is older than `max_lag` or has not closed yet. A reduce-only order of a world that lets those leave a shut
 * gate needs neither lease nor fence, nor a bucket that closed after the gate opened. Call it only within an exclusive
 * operation of the account.
 */
export async function takeDirectOrders(
  router: AccountRouter,
  turn: DirectOrderTurn,
): Promise<DirectOrderVerdict[]> {
  const booking = router.booking();
  const verdicts = turn.orders.map((order) => takeOne(router, turn, order, booking));
  try {
    await router.commitAndSend(booking, turn.keep(verdicts));
    return verdicts;
  } catch (failure) {
    if (!(failure instanceof PermissionLost)) throw failure;
    // Nothing of the call was stored, not even refused orders.
    const lost = verdicts.map(({ accepted, reason }) =>
      refused(accepted ? failure.reason : reason),
    );
    await router.commit(router.booking(), turn.keep(lost));
    return lost;
  }
}

function takeOne(
  router: AccountRouter,
  turn: DirectOrderTurn,
  order: StatedOrder,
  booking: Booking,
): DirectOrderVerdict {
  const { strategy, instrument, bucket, reduceOnly } = order;
  const { world, claim, requestId } = turn;
  const gate = router.deps.worlds.gateOf(world.worldId);
  if (gate === undefined) return refused("GATE_SHUT");
  const reason = refuse(router, gate, turn, order) ?? refuseBucket(router, gate, turn, order);
  if (reason === "HALTED") {
    const haltIds = haltsOf(router, world.worldId, strategy).map(({ haltId }) => haltId);
    return { ...refused(reason), haltIds };
  }
  if (reason !== undefined) return refused(reason);
  const read = readOrder(router, order);
  if (typeof read === "string") return refused(read);
  const lots = weightedLots(router, gate, world, order, read.lots);
  if (lots === 0) return refused("NOT_ACTIVE");
  const before = booking.made.length;
  const refusedBefore = booking.refused.length;
  const notionalMin = router.notionalMinOf(instrument);
  const op = {
    op: "submit_order",
    ...{ world: world.worldId, strategy, instrument, lots, bucket, reduceOnly },
    ...(read.terms === undefined ? {} : { terms: read.terms }),
    ...(notionalMin === undefined ? {} : { notionalMin }),
    ...{ session: claim.sessionId, request: requestId },
  } as const;
  const place = router.journalPlace(world.worldId, strategy);
  const permission = needsGate(world, order) ? router.permission : router.reducingPermission;
  booking.apply("plain", op, place, permission);
  const made = booking.made.slice(before).map((outgoing) => outgoing.order);
  const [held] = booking.refused.slice(refusedBefore);
  const rejected = made.find(({ state }) => state === "rejected");
  return {
    accepted: made.some(({ state }) => state !== "rejected"),
    reason: held === undefined ? (rejected?.reason ?? "") : refusalReason(held.reason),
    orders: made.map(({ id }) => id),
  };
}

function haltsOf(router: AccountRouter, world: string, strategy: string): readonly Halt[] {
  return router.deps.halts.allCovering({ account: router.account, world, strategy });
}

function needsGate(world: OrderWorld, { reduceOnly }: StatedOrder): boolean {
  return !(reduceOnly && world.reduceOnlyWhenShut);
}

function refuse(
  router: AccountRouter,
  gate: WorldGate,
  { world, claim }: DirectOrderTurn,
  order: StatedOrder,
): string | undefined {
  const { strategy, instrument } = order;
  if (haltsOf(router, world.worldId, strategy).length > 0) return "HALTED";
  const isGated = needsGate(world, order);
  const sender = { strategyId: strategy, ...claim };
  const refusal = isGated ? gate.checkStrategy(sender) : gate.checkSender(sender);
  if (refusal !== null) return reasonOfRefusal[refusal];
  const shut = isGated ? refusalOfLease(claim) : undefined;
  if (shut !== undefined) return shut;
  if (router.core.isRuined) return "ACCOUNT_RUINED";
  if (!router.core.knows(instrument)) return "INSTRUMENT_NOT_FOUND";
  const account = router.core
    .strategies()
    .find((one) => one.world === world.worldId && one.strategy === strategy);
  return account === undefined || account.demoted !== null ? "NOT_ACTIVE" : undefined;
}

/**
 * A bucket must have closed within `max_lag`, have a mark and, if its order needs the gate, have closed after the gate
 * opened. The mark may be that of an earlier bucket, as for a target: in a slice of other feeds, or of funding alone, the
 * instrument has no bar.
 */
function refuseBucket(
  router: AccountRouter,
  gate: WorldGate,
  { world, closedMs }: DirectOrderTurn,
  order: StatedOrder,
): string | undefined {
  const { instrument, bucket } = order;
  const now = router.dataNow(world);
  if (needsGate(world, order)) {
    if (gate.openedMs === undefined) return "GATE_SHUT";
    if (bucket <= gate.openedMs) return "BUCKET_STALE";
  }
  if (now - bucket > world.maxLagMs) return "BUCKET_STALE";
  const hasMark =
    bucket <= Math.max(now, closedMs, router.market.lastRowMs) &&
    router.market.closeAt(instrument, bucket) !== undefined;
  return hasMark ? undefined : "MARK_INVALID";
}

/** Whole lots and terms, or why they are not an order. */
function readOrder(
  router: AccountRouter,
  { instrument, quantity, terms, price }: StatedOrder,
): { readonly lots: number; readonly terms: OrderTerms | undefined } | ReasonName {
  const spec = router.deps.settings.instruments.find((one) => one.symbol === instrument);
  if (spec === undefined || terms === null || quantity === "") return "INVALID_FIELD";
  if (terms !== undefined) {
    if (!(terms.price > 0 && Number.isFinite(terms.price))) return "INVALID_FIELD";
    if (!isOnTick(price, spec.tick ?? 0)) return "PRICE_INVALID";
  }
  try {
    const lots = lotsFromQuantity(quantity, spec.lotSize);
    return lots === 0 ? "INVALID_FIELD" : { lots, terms };
  } catch (failure) {
    if (failure instanceof RangeError) return "INVALID_FIELD";
    throw failure;
  }
}

/** Whether a price is a whole number of ticks, computed in decimals; always true without a tick. */
function isOnTick(price: string, tick: number): boolean {
  return tick === 0 || new Decimal(price).mod(tick).isZero();
}

/**
 * Lots of an order: the part that takes the position toward zero is kept whole, the rest is multiplied by the weight of
 * its side; a reduce-only order is kept as it is.
 */
function weightedLots(
  router: AccountRouter,
  gate: WorldGate,
  world: OrderWorld,
  { strategy, instrument, reduceOnly }: StatedOrder,
  lots: number,
): number {
  if (reduceOnly) return lots;
  const id = { world: world.worldId, strategy, instrument };
  const expected = (router.core.book(id)?.quantity ?? 0) + router.core.workingLots(id);
  const closes = expected !== 0 && lots > 0 !== expected > 0;
  const closing = closes ? Math.sign(lots) * Math.min(Math.abs(lots), Math.abs(expected)) : 0;
  const opening = lots - closing;
  return closing + wholeLots(weightedQuantity(opening, gate.weightOf(strategy, opening)));
}

function refused(reason: string): DirectOrderVerdict {
  return { accepted: false, reason, orders: [] };
}
