export { createGateway, type Gateway, type GatewayDeps } from "./from-config.ts";
export { type AccountLeases, accountHeld } from "./instances/account-leases.ts";
export {
  createLeasedGateway,
  type LeasedGateway,
  type LeasedGatewayDeps,
  openAccountLeases,
} from "./instances/leased-gateway.ts";
export type {
  OpenOrderModule,
  OrderModule,
  OrderModuleDeps,
} from "./orders/module.ts";
export type {
  ExplainedOrders,
  SliceBookings,
  SourceBar,
  SourceValue,
  StrategyOrders,
  TicketClaims,
} from "./ports.ts";
