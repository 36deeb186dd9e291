import {
  type ClockReading,
  type OrderPermit,
  type SessionKind,
  type SessionState,
  startSession,
} from "@qmtl/core/gate";

export const clockPortStrategies = ["alpha", "beta"] as const;

/** A session process: its state, its clock, its pauses. */
export interface Client {
  state: SessionState;
  readonly slot: number;
  incarnation: number;
  /** Rate of the client's clock against real time. */
  readonly rate: number;
  pausedUntilMs: number;
  gateway: number;
  nextBeatMs: number;
  order: {
    readonly permit: OrderPermit;
    readonly writeAtMs: number;
    readonly strategyId: string;
  } | null;
}

/** A client in a slot: 0 and 1 contend for both strategies, 2 for one of them, 3 is the router. */
export function newClient(slot: number, incarnation: number, random: () => number): Client {
  const kind: SessionKind = slot === 3 ? "router" : "sdk";
  const scope = slot === 3 ? "*" : slot === 2 ? ["beta"] : [...clockPortStrategies];
  const state = startSession({ sessionId: `c${slot}.${incarnation}`, worldId: "w", kind, scope });
  const rate = 0.99 + random() * 0.02;
  const rest = { pausedUntilMs: 0, gateway: slot % 2, nextBeatMs: 0, order: null };
  return { state, slot, incarnation, rate, ...rest };
}

/** A client's clocks: hrtime runs at its rate, uptime is coarse, and in odd slots the wall clock is an hour behind. */
export function clientClock(client: Client, nowMs: number): ClockReading {
  const local = nowMs * client.rate;
  return {
    monotonicMs: local,
    uptimeMs: Math.floor(local / 10) * 10,
    wallMs: local - 3_600_000 * (client.slot % 2),
  };
}
