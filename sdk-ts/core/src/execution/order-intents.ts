import { appended } from "./appended.ts";
import { type PositionSide, type RouterOrder, remainingLots } from "./router-order.ts";

/** A part of what is wanted, ready to become an order. Lots are signed. */
export interface OrderIntent {
  readonly lots: number;
  readonly side: PositionSide;
  readonly opening: boolean;
  readonly reduceOnly: boolean;
  /** It leaves nothing held, or is part of a change that leaves nothing held and nothing working. */
  readonly closesAll: boolean;
}

/** Intents, and the lots held back because an order of the instrument is `unknown`. */
export interface IntentPlan {
  readonly intents: readonly OrderIntent[];
  readonly heldLots: number;
}

const NOTHING: IntentPlan = { intents: [], heldLots: 0 };

/**
 * Splits `want − (position + working)` into orders.
 *
 * Expected = position + what working orders may still fill, `unknown` ones counted whole. The part of the
 * difference that takes *expected* toward zero closes (side of expected), the rest opens (its own side): an
 * order through zero is two. Of the closing part only what confirmed positions cover, less what working orders
 * already take from them, is reduce-only; the rest offsets orders that may never fill, so it counts as opening.
 *
 * While an order is unknown, nothing that can open is sent; its lots are reported as held.
 */
export function planIntents(
  positionLots: number,
  working: readonly Readonly<RouterOrder>[],
  wantLots: number,
): IntentPlan {
  let workingLots = 0;
  let hasUnknown = false;
  for (const order of working) {
    workingLots += remainingLots(order);
    hasUnknown ||= order.state === "unknown";
  }
  const expected = positionLots + workingLots;
  const delta = wantLots - expected;
  if (delta === 0) {
    return NOTHING;
  }
  const closes = expected !== 0 && delta > 0 !== expected > 0;
  const throughZero = closes && wantLots !== 0 && wantLots > 0 !== expected > 0;
  const closing = !closes ? 0 : throughZero ? -expected : delta;
  const opening = !closes ? delta : throughZero ? wantLots : 0;
  const side = sideOf(expected);
  const closesAll = closes && closing === -expected;
  const reducing = reducibleLots(positionLots, working, closing);
  let intents: OrderIntent[] | undefined;
  if (reducing !== 0) {
    const isLast = closesAll || takesRest(positionLots, working, reducing);
    intents = [intentOf(reducing, side, true, isLast)];
  }
  const uncovered = closing - reducing;
  if (hasUnknown) {
    return { intents: intents ?? [], heldLots: uncovered + opening };
  }
  if (uncovered !== 0) {
    intents = appended(intents, intentOf(uncovered, side, false, closesAll));
  }
  if (opening !== 0) {
    intents = appended(intents, intentOf(opening, sideOf(opening), false, false));
  }
  return { intents: intents ?? [], heldLots: 0 };
}

/** An intent that only reduces, or may open. */
function intentOf(
  lots: number,
  side: PositionSide,
  reduceOnly: boolean,
  closesAll: boolean,
): OrderIntent {
  return { lots, side, opening: !reduceOnly, reduceOnly, closesAll };
}

/** Whether a reduction takes all that working orders leave of a position. */
function takesRest(
  positionLots: number,
  working: readonly Readonly<RouterOrder>[],
  reducing: number,
): boolean {
  return reducing === reducibleLots(positionLots, working, -positionLots);
}

/** Splits `lots` on top of what is held and working; see {@link planIntents}. */
export function planOrder(
  positionLots: number,
  working: readonly Readonly<RouterOrder>[],
  lots: number,
): IntentPlan {
  const expected = working.reduce((sum, order) => sum + remainingLots(order), positionLots);
  return planIntents(positionLots, working, expected + lots);
}

/**
 * The one reduce-only intent that flattens confirmed positions, or undefined when nothing is left to reduce. An order
 * that waits for a price and is being cancelled covers nothing: if it fills anyway, less is left to reduce.
 */
export function planFlatten(
  positionLots: number,
  working: readonly Readonly<RouterOrder>[],
): OrderIntent | undefined {
  return planReduction(positionLots, working, 0);
}

/** The same for a reduction to `leftLots`, which are of the side of the positions. */
export function planReduction(
  positionLots: number,
  working: readonly Readonly<RouterOrder>[],
  leftLots: number,
): OrderIntent | undefined {
  const covering = working.filter(
    ({ terms, cancelRequested }) => terms === undefined || !cancelRequested,
  );
  // Working orders that reduce take their part of what has to go.
  const held = positionLots - leftLots;
  const lots = reducibleLots(held, covering, -held);
  const closesAll = leftLots === 0;
  return lots === 0
    ? undefined
    : { lots, side: sideOf(positionLots), opening: false, reduceOnly: true, closesAll };
}

/** The part of `lots` that confirmed positions still cover, given what working orders already take away. */
function reducibleLots(
  positionLots: number,
  working: readonly Readonly<RouterOrder>[],
  lots: number,
): number {
  if (positionLots === 0 || lots === 0 || lots > 0 === positionLots > 0) {
    return 0;
  }
  let left = Math.abs(positionLots);
  for (const order of working) {
    const rest = remainingLots(order);
    if (rest !== 0 && rest > 0 !== positionLots > 0) {
      left -= Math.abs(rest);
    }
  }
  const reducing = Math.min(Math.max(left, 0), Math.abs(lots));
  return reducing === 0 ? 0 : lots > 0 ? reducing : -reducing;
}

function sideOf(lots: number): PositionSide {
  return lots > 0 ? "long" : "short";
}
