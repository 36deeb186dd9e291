import { Decimal } from "decimal.js";
import { lotsTowardZero, quantityFromLots } from "../lots.ts";
import {
  type InstrumentNames,
  instrumentNames,
  type OrderInstrument,
} from "./order-instruments.ts";
import { instrumentKey } from "./plan-marks.ts";
import { type ReadDelta, readDelta, residualDeltas, type WorldPlan } from "./world-plan.ts";

/** Most deltas in one plan; a larger plan is refused. */
export const planDeltasMax = 100_000;

/** How long an order stands: GTC until cancelled, IOC fills at once as far as possible, FOK fills at once and whole. */
export type TimeInForce = "GTC" | "IOC" | "FOK";

/** What a venue can do. */
export interface VenuePolicy {
  /** False: no order of this venue is marked reduce-only. @default true */
  readonly supportsReduceOnly?: boolean;
  /** For orders whose caller names none. @default "GTC" */
  readonly defaultTimeInForce?: TimeInForce;
}

/** How {@link ordersFromWorldPlan} makes orders. */
export interface WorldPlanOrderOptions {
  /**
   * `strategy`: one order per world, strategy and instrument, less what was crossed inside. `account`: one order per
   * instrument, net over worlds and strategies; what an account shared by several worlds sends. @default "strategy"
   */
  readonly per?: "strategy" | "account";
  /** Orders of this world alone; only per strategy. @default all worlds */
  readonly worldId?: string;
  /** Lot, least notional and other names by instrument. Without an entry a quantity stays as planned. @default [] */
  readonly instruments?: readonly OrderInstrument[];
  /** Orders worth less, in the currency of the marks, are left out. @default 0, none are */
  readonly tradeNotionalMin?: number;
  /** Prices for the least notional, above 0. Where one is needed and missing, the order is left out. @default [] */
  readonly marks?: readonly {
    readonly venue: string;
    readonly instrument: string;
    readonly price: number;
  }[];
  /** For every order. @default the venue's, else "GTC" */
  readonly timeInForce?: TimeInForce;
  /** By venue. @default {} */
  readonly venuePolicies?: Readonly<Record<string, VenuePolicy>>;
}

/** An order a plan asks for; nothing was sent. */
export interface WorldPlanOrder {
  /** Empty in orders of the account. */
  readonly worldId: string;
  /** Empty in orders of the account, and where the plan is of a whole world. */
  readonly strategyId: string;
  /** The venue as the plan names it. */
  readonly venue: string;
  /** The name of its entry in `instruments`, else the plan's. */
  readonly instrument: string;
  /** By the sign of the quantity. */
  readonly side: "buy" | "sell";
  /** Signed decimal text, without exponent: negative sells. */
  readonly quantity: string;
  /** The caller's, else the venue's, else "GTC". */
  readonly timeInForce: TimeInForce;
  /** True: the order may only bring the position nearer to 0. */
  readonly reduceOnly: boolean;
}

/**
 * The orders a rebalance plan asks for, reductions first, each group in the plan's order. Pure: it sends nothing, and
 * the same plan gives the same orders. Takes the plan of a `PlanRebalance` or `PreviewRebalance` answer as it is.
 *
 * A quantity is rounded to whole lots toward zero, in decimals; what becomes 0 is left out. An order is reduce-only
 * where the plan says that its delta only reduces, and the venue knows such orders; a plan that does not say it is read
 * as one of an account without shorts, where a sale reduces. A delta through zero is one order here, not reduce-only:
 * the order router splits it into a close and an open.
 *
 * To execute a plan, let the gateway do it (`qmtl rebalance execute`): there it is bound to the account's revision,
 * gated, journaled and done once.
 *
 * @throws {RangeError} for a quantity that is not a decimal number, a lot not above 0, two instruments of one name at a
 * venue, more than 100,000 deltas, or a `worldId` with orders of the account.
 */
export function ordersFromWorldPlan(
  plan: WorldPlan,
  options: WorldPlanOrderOptions = {},
): readonly WorldPlanOrder[] {
  const names = instrumentNames(options.instruments ?? []);
  const marks = new Map<string, number>();
  for (const { venue, instrument, price } of options.marks ?? []) {
    marks.set(instrumentKey(venue, names.of(venue, instrument).instrument), price);
  }
  const orders = deltasOf(plan, options).flatMap((delta) => orderOf(delta, options, names, marks));
  const reductions = orders.filter(({ reduces }) => reduces);
  const others = orders.filter(({ reduces }) => !reduces);
  return [...reductions, ...others].map(({ order }) => order);
}

function deltasOf(plan: WorldPlan, options: WorldPlanOrderOptions): readonly ReadDelta[] {
  const { per = "strategy", worldId } = options;
  if (per === "account" && worldId !== undefined) {
    throw new RangeError("orders of the account are net over worlds: leave worldId out");
  }
  const rows = per === "account" ? (plan.netDeltas ?? []) : plan.deltas;
  if (rows.length > planDeltasMax) {
    throw new RangeError(`the plan has ${rows.length} deltas, at most ${planDeltasMax} are taken`);
  }
  const deltas = per === "account" ? rows.map(readDelta) : residualDeltas(plan);
  return worldId === undefined ? deltas : deltas.filter((delta) => delta.worldId === worldId);
}

function orderOf(
  delta: ReadDelta,
  options: WorldPlanOrderOptions,
  names: InstrumentNames,
  marks: ReadonlyMap<string, number>,
): { readonly order: WorldPlanOrder; readonly reduces: boolean }[] {
  const { worldId, strategyId, venue } = delta;
  const { instrument, rule } = names.of(venue, delta.instrument);
  const quantity = inLots(delta.quantity, rule?.lot);
  if (quantity.isZero()) return [];
  const least = Math.max(options.tradeNotionalMin ?? 0, Number(rule?.notionalMin ?? 0));
  if (least > 0) {
    const mark = marks.get(instrumentKey(venue, instrument)) ?? 0;
    const notional = quantity
      .abs()
      .mul(mark)
      .mul(rule?.multiplier ?? 1);
    if (!(mark > 0) || notional.lt(least)) return [];
  }
  const policy = options.venuePolicies?.[venue] ?? {};
  const side = quantity.isNegative() ? "sell" : "buy";
  const reduces = delta.reduces ?? side === "sell";
  const order: WorldPlanOrder = {
    worldId,
    strategyId,
    venue,
    instrument,
    side,
    quantity: quantity.toFixed(),
    timeInForce: options.timeInForce ?? policy.defaultTimeInForce ?? "GTC",
    reduceOnly: reduces && policy.supportsReduceOnly !== false,
  };
  return [{ order, reduces }];
}

function inLots(quantity: Decimal, lot: string | undefined): Decimal {
  if (lot === undefined) return quantity;
  return new Decimal(quantityFromLots(lotsTowardZero(quantity, lot), lot));
}
