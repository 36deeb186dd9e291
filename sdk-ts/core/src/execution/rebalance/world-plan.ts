import { Decimal } from "decimal.js";
import { instrumentKey } from "./plan-marks.ts";

/** A quantity as it comes over the wire (`{ value: "1.5" }`), or as plain decimal text. */
export type PlanQuantity = string | { readonly value: string };

/** A change of one position; the shape of `PositionDelta` in the contracts. */
export interface WorldPlanDelta {
  /** Empty in net rows. */
  readonly worldId: string;
  /** Empty in net rows and in rows of a whole world. */
  readonly strategyId: string;
  /** What is traded, by any of its names. */
  readonly instrument: string;
  /** Venue it is traded at; empty if not known. */
  readonly venue: string;
  /** Signed: negative sells. Absent = 0. */
  readonly quantity?: PlanQuantity | undefined;
  /** True when it only reduces the position. Absent: not known. */
  readonly reduces?: boolean;
}

/** A trade between two strategies, booked inside; the shape of `Cross` in the contracts. */
export interface WorldPlanCross {
  /** What changes hands. */
  readonly instrument: string;
  /** Above 0. */
  readonly quantity?: PlanQuantity | undefined;
  /** World of the strategy that buys. */
  readonly buyerWorldId: string;
  /** Strategy that buys. */
  readonly buyerStrategyId: string;
  /** World of the strategy that sells. */
  readonly sellerWorldId: string;
  /** Strategy that sells. */
  readonly sellerStrategyId: string;
}

/** What orders are made from; the shape of `RebalancePlan` in the contracts. */
export interface WorldPlan {
  /** Per world and strategy, whole: what is crossed inside is part of them. */
  readonly deltas: readonly WorldPlanDelta[];
  /** Net over worlds and strategies. @default [] */
  readonly netDeltas?: readonly WorldPlanDelta[];
  /** What is booked inside, between strategies. @default [] */
  readonly crosses?: readonly WorldPlanCross[];
}

/** A delta with its quantity parsed. */
export interface ReadDelta extends Omit<WorldPlanDelta, "quantity"> {
  readonly quantity: Decimal;
}

/** Parses the quantity of a delta. @throws {RangeError} when it is not a finite decimal number. */
export function readDelta(delta: WorldPlanDelta): ReadDelta {
  return { ...delta, quantity: decimalOf(delta.quantity, delta.instrument) };
}

/** What is left of each strategy's delta after its crosses: what has to go outside. */
export function residualDeltas(plan: WorldPlan): readonly ReadDelta[] {
  const crossed = new Map<string, Decimal>();
  const add = (world: string, strategy: string, instrument: string, quantity: Decimal): void => {
    const key = instrumentKey(JSON.stringify([world, strategy]), instrument);
    crossed.set(key, (crossed.get(key) ?? new Decimal(0)).plus(quantity));
  };
  for (const cross of plan.crosses ?? []) {
    const quantity = decimalOf(cross.quantity, cross.instrument);
    add(cross.buyerWorldId, cross.buyerStrategyId, cross.instrument, quantity);
    add(cross.sellerWorldId, cross.sellerStrategyId, cross.instrument, quantity.neg());
  }
  return plan.deltas.map((delta) => {
    const { worldId, strategyId, instrument } = delta;
    const read = readDelta(delta);
    const key = instrumentKey(JSON.stringify([worldId, strategyId]), instrument);
    const inside = crossed.get(key);
    if (inside === undefined) return read;
    crossed.delete(key); // a cross names no venue: it counts once
    return { ...read, quantity: read.quantity.minus(inside) };
  });
}

function decimalOf(quantity: PlanQuantity | undefined, instrument: string): Decimal {
  const text = typeof quantity === "object" ? quantity.value : (quantity ?? "");
  if (text === "") return new Decimal(0);
  if (/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text)) return new Decimal(text);
  throw new RangeError(`the quantity of ${instrument} is not a decimal number: "${text}"`);
}
