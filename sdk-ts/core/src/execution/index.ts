export * from "./account-core.ts";
export { type AccountMoney, UNLEVERAGED } from "./account-money.ts";
export type * from "./account-op.ts";
export { limitsOf, moneyOf, ratesOf } from "./account-rules.ts";
export { BoundedLog } from "./bounded-log.ts";
export type { BrokerPositions } from "./broker-positions.ts";
export * from "./client-order-id.ts";
export {
  dayBorrowFee,
  dayInterest,
  type Financed,
  type FinancingRates,
  type FinancingTerms,
  type FundingRate,
  financingOf,
} from "./financing.ts";
export * from "./instrument-spec.ts";
export * from "./lots.ts";
export type { OfflineExposure } from "./mark-table.ts";
export { isZone, Midnights } from "./midnights.ts";
export * from "./offline-account.ts";
export type * from "./offline-records.ts";
export * from "./order-router.ts";
export * from "./position.ts";
export * from "./pretrade.ts";
export * from "./rebalance/internal-cross.ts";
export * from "./rebalance/multi-world-plan.ts";
export type { OrderInstrument } from "./rebalance/order-instruments.ts";
export * from "./rebalance/orders-from-world-plan.ts";
export * from "./rebalance/plan-marks.ts";
export * from "./rebalance/pro-rata.ts";
export * from "./rebalance/scaling-plan.ts";
export * from "./rebalance/targets-plan.ts";
export type {
  PlanQuantity,
  WorldPlan,
  WorldPlanCross,
  WorldPlanDelta,
} from "./rebalance/world-plan.ts";
export { type RefusalReason, refusalReason } from "./refusal-reason.ts";
export { type SealedReturn, UnknownInstrument } from "./router-ledger.ts";
export type * from "./router-options.ts";
export type * from "./router-order.ts";
export { isFinal, remainingLots } from "./router-order.ts";
export type * from "./router-state.ts";
export * from "./simulated-broker.ts";
export type * from "./simulated-order.ts";
export * from "./sizing.ts";
export * from "./snapshot-rows.ts";
export type { StrayRecord } from "./stray-tracker.ts";
export * from "./trading-costs.ts";
