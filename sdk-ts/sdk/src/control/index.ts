export { pause, type SdkClock, type SdkTimer, stopwatch, systemClock } from "./clock.ts";
export type { ControlListener } from "./control-listener.ts";
export { ControlSession } from "./control-session.ts";
export { domainToProto, hashText } from "./gate-from-proto.ts";
export { OrderGate, type OrderSubject, type SenderClaim } from "./order-gate.ts";
export { reconnectDelayMs } from "./reconnect-delay.ts";
export { type TicketedCalls, TicketKeeper } from "./ticket-keeper.ts";
