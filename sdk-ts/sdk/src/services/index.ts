/**
 * The services behind a gateway's address, for `connectTo(url).client(OrderService)` of `@qmtl/sdk/rpc`, with the
 * messages and enumerations that programs around a strategy most often need.
 */
export type { FeedState } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
export { ApplyPhase, HoldKind } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
export { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
export { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
export { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
export { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
export { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
export { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
export { RebalancingExecutionService } from "@qmtl/contracts/qmtl/gateway/v1/rebalancing_execution_service_pb";
export { JournalKind, type Position } from "@qmtl/contracts/qmtl/order/v1/account_pb";
export type { Halt } from "@qmtl/contracts/qmtl/order/v1/halt_pb";
export { type Order, OrderOrigin, OrderState } from "@qmtl/contracts/qmtl/order/v1/order_pb";
export { EffectiveMode, Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
export {
  ActivationService,
  type ApplyRun,
} from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
export { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
export { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
export { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
export { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
