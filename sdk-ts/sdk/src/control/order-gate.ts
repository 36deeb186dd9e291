import {
  beginOrder,
  checkOrder,
  domainOfMode,
  type EffectiveMode,
  type ExecutionDomain,
  endOrder,
  type GateOrder,
  type GateRefusal,
  narrowSession,
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

/** A strategy that is about to send orders, and the sides that they may be on. */
export interface OrderSubject {
  readonly strategyId: string;
  readonly sides: readonly PositionSide[];
}

/**
 * The gate of the strategies of a runner's session: the session state machine, given the current time. It sets no timer.
 */
export class OrderGate {
  readonly #clock: SdkClock;
  #strategyIds: readonly string[];
  readonly #domainMax: ExecutionDomain | null;
  #state: SessionState;

  /** @param domainMax highest domain in which orders may leave, whatever the world grants; null: as the world grants */
  constructor(
    clock: SdkClock,
    session: {
      readonly sessionId: string;
      readonly worldId: string;
      readonly strategyIds: readonly string[];
    },
    domainMax: ExecutionDomain | null = null,
  ) {
    this.#clock = clock;
    const { sessionId, worldId, strategyIds } = session;
    this.#strategyIds = strategyIds;
    this.#domainMax = domainMax;
    this.#state = startSession({ sessionId, worldId, kind: "sdk", scope: strategyIds });
  }

  /** The strategies of the session. */
  get strategyIds(): readonly string[] {
    return this.#strategyIds;
  }

  /** True if orders of no strategy could leave whatever the world grants now: a lease would be of no use. */
  get isAllAboveDomain(): boolean {
    return this.#strategyIds.every((strategyId) => this.isAboveDomain(strategyId));
  }

  get state(): SessionState {
    return this.#state;
  }

  /** Stores the state that `makeHeartbeat` returned. */
  set state(state: SessionState) {
    this.#state = state;
  }

  /** The ticket covers these strategies alone from now on, of those that it covered. The lease stays. */
  narrow(strategyIds: readonly string[]): void {
    this.#strategyIds = strategyIds;
    this.#state = narrowSession(this.#state, strategyIds, { hash: hashText });
  }

  /** Gives one input to the machine and returns the effects it asks for. */
  take(input: SessionInput): readonly SessionEffect[] {
    const step = sessionStep(this.#state, input, { hash: hashText });
    this.#state = step.state;
    return step.effects;
  }

  /** The current phase for a strategy; SHUT also while the world grants it a higher domain than this run allows. */
  phase(strategyId: string): SessionPhase {
    if (this.isAboveDomain(strategyId)) return "SHUT";
    return sessionPhase(this.#state, this.#clock.reading());
  }

  /** True while the world grants a strategy a domain above `domainMax`: no order of it leaves. */
  isAboveDomain(strategyId: string): boolean {
    const domainMax = this.#domainMax;
    if (domainMax === null) return false;
    // An unknown domain lets nothing out.
    const most = reachOf[domainMax] ?? 0;
    return (reachOf[this.domain(strategyId)] ?? Number.POSITIVE_INFINITY) > most;
  }

  /** The mode of a strategy; validate while nothing is known. */
  mode(strategyId: string): EffectiveMode {
    const mine = this.#state.applied?.activations.filter((a) => a.strategyId === strategyId);
    const active = mine?.find((a) => a.active) ?? mine?.[0];
    return active?.effectiveMode ?? "validate";
  }

  /** The execution domain of a strategy's mode. */
  domain(strategyId: string): ExecutionDomain {
    return domainOfMode(this.mode(strategyId));
  }

  /** Why no order of a strategy could leave now on any of the sides; null if one could on at least one side. */
  refusal({ strategyId, sides }: OrderSubject): OrderRefusal | null {
    if (this.isAboveDomain(strategyId)) return "ABOVE_EXECUTION_DOMAIN";
    const now = this.#clock.reading();
    const domain = this.domain(strategyId);
    let refusal: GateRefusal | null = null;
    for (const side of sides) {
      refusal = checkOrder(this.#state, { strategyId, side, domain }, now);
      if (refusal === null) return null;
    }
    return refusal;
  }

  /**
   * Checks the gate and writes in one synchronous block: `write` must hand the orders to an open connection before it
   * returns. It gets those of the subjects whose orders may leave in `domain`; if there is none, it is not called, and
   * the reason for the last one is returned. What `write` throws is rethrown; the orders then no longer count as in
   * flight.
   */
  emit<S extends OrderSubject, T>(
    subjects: readonly S[],
    domain: ExecutionDomain,
    write: (claim: SenderClaim, passed: readonly S[]) => T,
  ): { readonly result: T; readonly effects: readonly SessionEffect[] } | OrderRefusal {
    let last: OrderRefusal = "NOT_ACTIVE";
    const passed: S[] = [];
    let order: GateOrder | undefined;
    for (const subject of subjects) {
      const found = this.#passing(subject, domain);
      if (typeof found === "string") last = found;
      else {
        order ??= found;
        passed.push(subject);
      }
    }
    if (order === undefined) return last;
    // One permit for all: they leave with one write, under one lease.
    const begun = beginOrder(this.#state, order, this.#clock.reading(), checkOrder);
    if (!("permit" in begun)) return begun.refusal;
    this.#state = begun.state;
    const { leaseId, fence } = begun.permit;
    let effects: readonly SessionEffect[] = [];
    let result: T;
    try {
      result = write({ leaseId, fence, domain }, passed);
    } finally {
      const reading = this.#clock.reading();
      const ended = endOrder(this.#state, begun.permit, reading, { hash: hashText });
      this.#state = ended.state;
      effects = ended.effects;
    }
    return { result, effects };
  }

  /** An order of a strategy that may leave now in this domain; else why none may. */
  #passing({ strategyId, sides }: OrderSubject, domain: ExecutionDomain): GateOrder | OrderRefusal {
    if (this.isAboveDomain(strategyId)) return "ABOVE_EXECUTION_DOMAIN";
    let last: GateRefusal = "NOT_ACTIVE";
    for (const side of sides) {
      const order = { strategyId, side, domain };
      const refusal = checkOrder(this.#state, order, this.#clock.reading());
      if (refusal === null) return order;
      last = refusal;
    }
    return last;
  }

  /**
   * The claim of a call without targets. It needs no lease, but names the one in force: that nothing was stated under it
   * is known only then.
   */
  standingClaim(): SenderClaim {
    const { applied, lease } = this.#state;
    const isArmed = sessionPhase(this.#state, this.#clock.reading()) === "ARMED";
    const [first = ""] = this.#strategyIds;
    return {
      leaseId: isArmed ? (lease?.leaseId ?? "") : "",
      fence: applied?.fence ?? 0,
      domain: this.domain(first),
    };
  }
}
