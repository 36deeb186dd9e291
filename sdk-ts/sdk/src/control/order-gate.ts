import {
  beginOrder,
  checkOrder,
  domainOfMode,
  type EffectiveMode,
  type ExecutionDomain,
  endOrder,
  type GateRefusal,
  type PositionSide,
  type SessionEffect,
  type SessionInput,
  type SessionPhase,
  type SessionState,
  sessionPhase,
  sessionStep,
  startSession,
} from "@qmtl/core/gate";
import type { SdkClock } from "./clock.ts";
import { hashText } from "./gate-from-proto.ts";

/** What a session's gate states with each order: the gate claim of the contract. */
export interface SenderClaim {
  readonly leaseId: string;
  readonly fence: number;
  readonly domain: "backtest" | "dryrun" | "live" | "shadow";
}

/** Why an order would not leave: the gate's own refusals, and the limit this side has set itself. */
export type OrderRefusal = GateRefusal | "ABOVE_EXECUTION_DOMAIN";

/** How much a domain lets out. */
const reachOf: Readonly<Record<string, number>> = { backtest: 0, shadow: 0, dryrun: 1, live: 2 };

/** The first gate of one strategy: the session machine with the current time put in. Holds no timer. */
export class OrderGate {
  readonly #clock: SdkClock;
  readonly #strategyId: string;
  readonly #domainMax: ExecutionDomain | null;
  #state: SessionState;

  /** @param domainMax highest domain orders leave in, whatever the world grants; null: as the world grants */
  constructor(
    clock: SdkClock,
    session: { readonly sessionId: string; readonly worldId: string; readonly strategyId: string },
    domainMax: ExecutionDomain | null = null,
  ) {
    this.#clock = clock;
    this.#strategyId = session.strategyId;
    this.#domainMax = domainMax;
    const { sessionId, worldId } = session;
    this.#state = startSession({ sessionId, worldId, kind: "sdk", scope: [session.strategyId] });
  }

  get state(): SessionState {
    return this.#state;
  }

  /** Puts back the state after a heartbeat was made of it. */
  set state(state: SessionState) {
    this.#state = state;
  }

  /** One input to the machine; what it asks for in return. */
  take(input: SessionInput): readonly SessionEffect[] {
    const step = sessionStep(this.#state, input, { hash: hashText });
    this.#state = step.state;
    return step.effects;
  }

  /** SHUT also while the world grants more than this side lets out. */
  phase(): SessionPhase {
    if (this.isAboveDomain) return "SHUT";
    return sessionPhase(this.#state, this.#clock.reading());
  }

  /** The world grants a domain above the highest that orders leave in: no order leaves. */
  get isAboveDomain(): boolean {
    const domainMax = this.#domainMax;
    if (domainMax === null) return false;
    // A name that is not known lets nothing out.
    const most = reachOf[domainMax] ?? 0;
    return (reachOf[domainOfMode(this.mode())] ?? Number.POSITIVE_INFINITY) > most;
  }

  /** The strategy's own mode; validate while nothing is known. */
  mode(): EffectiveMode {
    const mine = this.#state.applied?.activations.filter((a) => a.strategyId === this.#strategyId);
    const active = mine?.find((a) => a.active) ?? mine?.[0];
    return active?.effectiveMode ?? "validate";
  }

  /** Why an order on any of the sides would not leave now; null when it would. */
  refusal(sides: readonly PositionSide[]): OrderRefusal | null {
    if (this.isAboveDomain) return "ABOVE_EXECUTION_DOMAIN";
    const now = this.#clock.reading();
    let refusal: GateRefusal | null = null;
    for (const side of sides) {
      const order = { strategyId: this.#strategyId, side, domain: domainOfMode(this.mode()) };
      refusal = checkOrder(this.#state, order, now);
      if (refusal === null) return null;
    }
    return refusal;
  }

  /**
   * Checks and writes in one synchronous block: `write` must hand the order to an open connection before it
   * returns. The reason when the gate is shut; `write` was not called then. What `write` throws is thrown on, and the
   * order no longer counts as between check and write.
   */
  emit<T>(
    sides: readonly PositionSide[],
    write: (claim: SenderClaim) => T,
  ): { readonly result: T; readonly effects: readonly SessionEffect[] } | OrderRefusal {
    if (this.isAboveDomain) return "ABOVE_EXECUTION_DOMAIN";
    const domain = domainOfMode(this.mode());
    let last: GateRefusal = "NOT_ACTIVE";
    for (const side of sides) {
      const order = { strategyId: this.#strategyId, side, domain };
      const begun = beginOrder(this.#state, order, this.#clock.reading(), checkOrder);
      if (!("permit" in begun)) {
        last = begun.refusal;
        continue;
      }
      this.#state = begun.state;
      const { leaseId, fence } = begun.permit;
      let effects: readonly SessionEffect[] = [];
      let result: T;
      try {
        result = write({ leaseId, fence, domain });
      } finally {
        const reading = this.#clock.reading();
        const ended = endOrder(this.#state, begun.permit, reading, { hash: hashText });
        this.#state = ended.state;
        effects = ended.effects;
      }
      return { result, effects };
    }
    return last;
  }

  /** What a call without targets states: no lease is claimed. */
  shutClaim(): SenderClaim {
    const fence = this.#state.applied?.fence ?? 0;
    return { leaseId: "", fence, domain: domainOfMode(this.mode()) };
  }
}
