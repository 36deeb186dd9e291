export { pause, type SdkClock, type SdkTimer, stopwatch, systemClock } from "./clock.ts";
export type { ControlListener } from "./control-listener.ts";
export { ControlSession, type ControlSessionOptions } from "./control-session.ts";
export { domainToProto, gateInput, hashText } from "./gate-from-proto.ts";
export { type GateWord, OrderGate, type OrderRefusal } from "./order-gate.ts";
export { reconnectDelayMs, reconnectDelayMsMax } from "./reconnect-delay.ts";
export { type TicketedCalls, TicketKeeper, type TicketKeeperOptions } from "./ticket-keeper.ts";
