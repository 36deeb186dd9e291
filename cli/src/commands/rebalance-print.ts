import type { PlannedOrder } from "@qmtl/contracts/qmtl/gateway/v1/rebalancing_execution_service_pb";
import type {
  AlphaMetrics,
  AlphaMetricsEnvelope,
  Cross,
  PositionDelta,
} from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { printTable } from "../print.ts";

/** Changes of positions, by strategy or net. */
export function printDeltas(of: "strategy" | "net", deltas: readonly PositionDelta[]): void {
  printTable(
    [of, "instrument", "change"],
    deltas.map((each) => [
      each.strategyId || each.worldId || "(net)",
      each.instrument,
      each.quantity?.value ?? "",
    ]),
  );
}

/** Trades between strategies, booked inside. */
export function printCrosses(crosses: readonly Cross[]): void {
  for (const cross of crosses)
    console.log(
      `crossed inside: ${cross.quantity?.value} ${cross.instrument} at ${cross.price?.value}, ${cross.sellerStrategyId} to ${cross.buyerStrategyId}`,
    );
}

/** Orders that go outside: net of the account, and the same by strategy. */
export function printOrders(orders: readonly PlannedOrder[]): void {
  for (const order of orders) {
    const { worldId, strategyId, quantity, instrument, clientOrderId, reduceOnly } = order;
    const of = strategyId || worldId;
    const whose = of === "" ? "net of the account" : `of ${of}`;
    const more = `${reduceOnly ? ", reduce-only" : ""}${clientOrderId ? ` as ${clientOrderId}` : ""}`;
    console.log(`outside, ${whose}: ${quantity?.value} ${instrument}${more}`);
  }
}

/** Alpha metrics by world and by strategy; nothing for an answer of version 1. */
export function printAlphaMetrics(envelope: AlphaMetricsEnvelope | undefined): void {
  if (envelope === undefined) return;
  const rows = [...rowsOf("world", envelope.perWorld), ...rowsOf("strategy", envelope.perStrategy)];
  printTable(["alpha metrics of", "name", "metric", "value", "samples"], rows);
}

function rowsOf(kind: string, metrics: Readonly<Record<string, AlphaMetrics>>): string[][] {
  return Object.entries(metrics).flatMap(([name, { values, samples }]) =>
    Object.entries(values)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([metric, value]) => [kind, name, metric, value.toPrecision(6), String(samples)]),
  );
}
