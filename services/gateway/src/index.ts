export { createGateway, type Gateway, type GatewayDeps } from "./from-config.ts";
export type { OpenOrderHalf, OrderHalf, OrderHalfDeps, StrategyOrderFacts } from "./order-half.ts";
export type { OrderPath, SourceBar, TicketClaims } from "./ports.ts";
