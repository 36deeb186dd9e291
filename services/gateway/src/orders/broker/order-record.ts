import type { OrderTerms, SimulatedOrder } from "@qmtl/core/execution";

/** An order as its table has it. */
export interface OrderRecord {
  order_id: string;
  world_id: string;
  strategy_id: string;
  instrument: string;
  lots: number;
  bucket_end_ms: number;
  reduce_only: boolean;
  outcome: "filled" | "cancelled" | null;
  report_lost: boolean;
  order_type: "market" | "limit" | "stop";
  price: number | null;
}

/** Sub-account a strategy trades in. */
export function bookName(id: { readonly world: string; readonly strategy: string }): string {
  return `${id.world}/${id.strategy}`;
}

/** The terms of an order, as the simulated broker takes them. */
export function simulatedTerms(
  terms: OrderTerms | undefined,
): Pick<SimulatedOrder, "type" | "limitPrice" | "stopPrice"> {
  if (terms === undefined) return {};
  const { type, price } = terms;
  return type === "limit" ? { type, limitPrice: price } : { type, stopPrice: price };
}

/** A working order, as the simulated broker takes it. */
export function workingOf(order: OrderRecord): SimulatedOrder {
  return {
    id: order.order_id,
    instrument: order.instrument,
    lots: order.lots,
    bucket: order.bucket_end_ms,
    reduceOnly: order.reduce_only,
    ...simulatedTerms(termsOf(order)),
    book: bookName({ world: order.world_id, strategy: order.strategy_id }),
  };
}

function termsOf({ order_type: type, price }: OrderRecord): OrderTerms | undefined {
  return type === "market" || price === null ? undefined : { type, price };
}
