import { Decimal } from "decimal.js";
import { lotsTowardZero, quantityFromLots } from "../lots.ts";
import { instrumentKey } from "./plan-marks.ts";

/** A position a scaling plan works on. Quantity in units, long above 0. */
export interface ScalingPosition {
  readonly worldId: string;
  readonly strategyId: string;
  /** Null where the venue is not known; such positions net among themselves. */
  readonly venue: string | null;
  readonly symbol: string;
  readonly quantity: number;
  /** A mark that is not above 0 takes no part in the mean mark. */
  readonly mark: number;
}

/** Units to trade, signed. */
export interface ScalingDelta {
  readonly venue: string | null;
  readonly symbol: string;
  readonly quantity: number;
}

/** How both planners round and drop deltas. */
export interface ScalingRules {
  /** Deltas worth less are dropped, except full exits. @default 0 */
  readonly tradeNotionalMin?: number;
  /** Lot size by symbol, decimal string; unlisted symbols are not rounded. @default none */
  readonly lotSizes?: ReadonlyMap<string, string>;
}

export interface WorldScalingInput extends ScalingRules {
  readonly worldBefore: number;
  readonly worldAfter: number;
  readonly strategyBefore: ReadonlyMap<string, number>;
  readonly strategyAfter: ReadonlyMap<string, number>;
  readonly positions: readonly ScalingPosition[];
}

export interface WorldScalingPlan {
  readonly worldScale: number;
  /** Scales of the strategies that had one of their own. */
  readonly strategyScales: ReadonlyMap<string, number>;
  readonly deltas: readonly ScalingDelta[];
}

/** Net change of one instrument before rounding. */
interface Net {
  readonly venue: string | null;
  readonly symbol: string;
  notional: number;
  held: number;
  marks: number[];
  isExit: boolean;
}

/** after ÷ before. If before is 0 there is nothing to scale: `whenFromZero` if something is wanted, else 0. */
function scaleOf(before: number, after: number, whenFromZero: number): number {
  return before > 0 ? after / before : after > 0 ? whenFromZero : 0;
}

/**
 * Scaling plan of one world: every position is scaled by its strategy's own scale if one is given (it replaces
 * the world's), else by the world's; changes are netted by (venue, symbol), then rounded to lots toward zero.
 *
 * notional change = quantity × mark × (scale − 1); quantity = Σ notional ÷ mean of the positive marks.
 * An instrument without a positive mark is skipped. If every position of an instrument scales to 0 the delta is
 * exactly what is held, unrounded: a full exit leaves no dust.
 */
export function planWorldScaling(input: WorldScalingInput): WorldScalingPlan {
  const worldScale = scaleOf(input.worldBefore, input.worldAfter, 1);
  const strategyScales = new Map<string, number>();
  for (const [strategy, after] of input.strategyAfter) {
    const before = input.strategyBefore.get(strategy) ?? 0;
    const fromZero = input.worldAfter > 0 ? worldScale : 0;
    strategyScales.set(strategy, before > 0 ? after / before : fromZero);
  }
  const nets = new Map<string, Net>();
  for (const position of input.positions) {
    const scale = strategyScales.get(position.strategyId) ?? worldScale;
    addTo(nets, position, position.quantity * position.mark * (scale - 1), scale === 0);
  }
  return { worldScale, strategyScales, deltas: roundedDeltas(nets, input) };
}

function addTo(
  nets: Map<string, Net>,
  of: { venue: string | null; symbol: string; quantity: number; mark: number },
  notional: number,
  isExit: boolean,
): void {
  const key = instrumentKey(of.venue ?? "", of.symbol);
  let net = nets.get(key);
  if (net === undefined) {
    const { venue, symbol } = of;
    net = { venue, symbol, notional: 0, held: 0, marks: [], isExit: true };
    nets.set(key, net);
  }
  net.notional += Number.isFinite(notional) ? notional : 0;
  net.held += of.quantity;
  net.isExit &&= isExit;
  if (of.mark > 0 && Number.isFinite(of.mark)) {
    net.marks.push(of.mark);
  }
}

function roundedDeltas(nets: ReadonlyMap<string, Net>, rules: ScalingRules): ScalingDelta[] {
  const deltas: ScalingDelta[] = [];
  for (const { venue, symbol, notional, held, marks, isExit } of nets.values()) {
    if (marks.length === 0) {
      continue;
    }
    const mark = marks.reduce((sum, value) => sum + value, 0) / marks.length;
    if (!isExit && Math.abs(notional) < (rules.tradeNotionalMin ?? 0)) {
      continue;
    }
    const quantity = isExit ? -held : toLots(notional / mark, rules.lotSizes?.get(symbol));
    if (quantity !== 0) {
      deltas.push({ venue, symbol, quantity });
    }
  }
  return deltas;
}

/** Rounds toward zero in decimals; without a lot size the quantity stays. */
function toLots(quantity: number, lotSize: string | undefined): number {
  if (lotSize === undefined || new Decimal(lotSize).lte(0)) {
    return quantity;
  }
  return Number(quantityFromLots(lotsTowardZero(quantity, lotSize), lotSize));
}

/**
 * Nets the worlds' deltas into the account's trades outside: the sum of quantities per instrument, in decimals, rounded
 * to lots toward zero. A sum worth less than `tradeNotionalMin` at the instrument's mean mark is dropped. A sum that
 * leaves the account nothing of an instrument is a full exit: whatever its value, and unrounded.
 */
export function netDeltas(
  perWorld: readonly WorldScalingPlan[],
  positions: readonly ScalingPosition[],
  rules: ScalingRules,
): ScalingDelta[] {
  const marks = new Map<string, number[]>();
  const held = new Map<string, Decimal>();
  for (const { venue, symbol, mark, quantity } of positions) {
    const key = instrumentKey(venue ?? "", symbol);
    held.set(key, (held.get(key) ?? new Decimal(0)).plus(quantity));
    if (mark > 0 && Number.isFinite(mark)) marks.set(key, [...(marks.get(key) ?? []), mark]);
  }
  const nets = new Map<string, { delta: ScalingDelta; quantity: Decimal }>();
  for (const delta of perWorld.flatMap((plan) => plan.deltas)) {
    const key = instrumentKey(delta.venue ?? "", delta.symbol);
    const before = nets.get(key)?.quantity ?? new Decimal(0);
    nets.set(key, { delta, quantity: before.plus(delta.quantity) });
  }
  const global: ScalingDelta[] = [];
  for (const [key, { delta, quantity: sum }] of nets) {
    const values = marks.get(key) ?? [];
    const mark = values.reduce((total, value) => total + value, 0) / values.length;
    const isExit = held.get(key)?.plus(sum).isZero() ?? false;
    const quantity = isExit
      ? sum.toNumber()
      : toLots(sum.toNumber(), rules.lotSizes?.get(delta.symbol));
    const isLargeEnough = isExit || Math.abs(quantity) * mark >= (rules.tradeNotionalMin ?? 0);
    if (quantity !== 0 && isLargeEnough) {
      global.push({ venue: delta.venue, symbol: delta.symbol, quantity });
    }
  }
  return global;
}
