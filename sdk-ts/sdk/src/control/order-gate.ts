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

/** The gate claim that a session sends with each order. */
export interface SenderClaim {
  readonly leaseId: string;
  readonly fence: number;
  readonly domain: "backtest" | "dryrun" | "live" | "shadow";
}

/** Why an order would not leave: a refusal of the gate, or the highest execution domain set for this run. */
export type OrderRefusal = GateRefusal | "ABOVE_EXECUTION_DOMAIN";

/** Rank of a domain: a higher one lets out more orders. */
const reachOf: Readonly<Record<string, number>> = { backtest: 0, shadow: 0, dryrun: 1, live: 2 };

/** The gate of one strategy in its runner: the session state machine, given the current time. It sets no timer. */
export class OrderGate {
  readonly #clock: SdkClock;
  readonly #strategyId: string;
  readonly #domainMax: ExecutionDomain | null;
  #state: SessionState;

  /** @param domainMax highest domain in which orders may leave, whatever the world grants; null: as the world grants */
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

  /** Stores the state that `makeHeartbeat` returned. */
  set state(state: SessionState) {
    this.#state = state;
  }

  /** Gives one input to the machine and returns the effects it asks for. */
  take(input: SessionInput): readonly SessionEffect[] {
    const step = sessionStep(this.#state, input, { hash: hashText });
    this.#state = step.state;
    return step.effects;
  }

  /** The current phase; SHUT also while the world grants a higher domain than this run allows. */
  phase(): SessionPhase {
    if (this.isAboveDomain) return "SHUT";
    return sessionPhase(this.#state, this.#clock.reading());
  }

  /** True while the world grants a domain above `domainMax`: no order leaves. */
  get isAboveDomain(): boolean {
    const domainMax = this.#domainMax;
    if (domainMax === null) return false;
    // An unknown domain lets nothing out.
    const most = reachOf[domainMax] ?? 0;
    return (reachOf[domainOfMode(this.mode())] ?? Number.POSITIVE_INFINITY) > most;
  }

  /** The strategy's own mode; validate while nothing is known. */
  mode(): EffectiveMode {
    const mine = this.#state.applied?.activations.filter((a) => a.strategyId === this.#strategyId);
    const active = mine?.find((a) => a.active) ?? mine?.[0];
    return active?.effectiveMode ?? "validate";
  }

  /** Why no order could leave now on any of the sides; null if one could on at least one side. */
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
   * Checks the gate and writes in one synchronous block: `write` must hand the order to an open connection before it
   * returns. If the gate is shut for all `sides`, `write` is not called and the reason is returned. What `write` throws
   * is rethrown; the order then no longer counts as in flight.
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

  /** The claim of a call without targets, which needs no lease. */
  shutClaim(): SenderClaim {
    const fence = this.#state.applied?.fence ?? 0;
    return { leaseId: "", fence, domain: domainOfMode(this.mode()) };
  }
}
