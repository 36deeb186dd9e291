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
  StandingHalt,
  StrategyOrderFacts,
} from "./orders/order-module.ts";
export type { OrderPath, SourceBar, TicketClaims } from "./ports.ts";
