import {
  ApplyPhase as ApplyPhaseCode,
  Gate as GateCode,
  type GateState as GateStateMessage,
  HoldKind,
} from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import type { GateClaim } from "@qmtl/contracts/qmtl/order/v1/order_pb";
import {
  ExecutionDomain as DomainCode,
  EffectiveMode as ModeCode,
  Side,
} from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  type ApplyPhase,
  type EffectiveMode,
  type ExecutionDomain,
  type Gate,
  type GateState,
  type Hold,
  isOrderLeaseOf,
} from "@qmtl/core/gate";
import type { SessionScope } from "@qmtl/service-kit";
import type { GateView } from "../../ports.ts";
import type { StatedClaim } from "../account/world-gate.ts";
import type { HeardGate } from "../gate/gate-follower.ts";
import type { HeardGates } from "../gate/world-registry.ts";

const GATES: Readonly<Record<number, Gate>> = {
  [GateCode.OPEN]: "OPEN",
  [GateCode.CLOSING]: "CLOSING",
  [GateCode.CLOSED]: "CLOSED",
};

const HOLDS: Readonly<Record<number, Hold>> = {
  [HoldKind.ROLLBACK]: "rollback",
  [HoldKind.MANUAL]: "manual",
  [HoldKind.BREAKER]: "breaker",
};

const PHASES: Readonly<Record<number, ApplyPhase>> = {
  [ApplyPhaseCode.FREEZING]: "FREEZING",
  [ApplyPhaseCode.SWITCHED]: "SWITCHED",
  [ApplyPhaseCode.UNFROZEN]: "UNFROZEN",
  [ApplyPhaseCode.ROLLED_BACK]: "ROLLED_BACK",
};

const MODES: Readonly<Record<number, EffectiveMode>> = {
  [ModeCode.VALIDATE]: "validate",
  [ModeCode.COMPUTE_ONLY]: "compute-only",
  [ModeCode.PAPER]: "paper",
  [ModeCode.LIVE]: "live",
  [ModeCode.SHADOW]: "shadow",
};

const DOMAINS: Readonly<Record<number, ExecutionDomain>> = {
  [DomainCode.BACKTEST]: "backtest",
  [DomainCode.DRYRUN]: "dryrun",
  [DomainCode.LIVE]: "live",
  [DomainCode.SHADOW]: "shadow",
};

/**
 * A gate state as the session's state machine takes it. An unknown gate reads as CLOSED, an unknown mode as validate.
 */
export function gateStateFrom(message: GateStateMessage): GateState {
  return {
    worldId: message.worldId,
    storeEpoch: Number(message.storeEpoch),
    revision: Number(message.revision),
    fence: Number(message.fence),
    gate: GATES[message.gate] ?? "CLOSED",
    // A kind that is not known is left out. It opens nothing: WorldService states no gate OPEN while there is a hold.
    holds: message.holds.flatMap(({ kind }) => HOLDS[kind] ?? []).sort(),
    runId: message.runId === "" ? null : message.runId,
    phase: PHASES[message.phase] ?? null,
    decision: {
      id: message.decision?.decisionId ?? "",
      mode: MODES[message.decision?.mode ?? 0] ?? "validate",
    },
    requiredRevision: Number(message.requiredRevision),
    activations: message.activations.map((one) => ({
      strategyId: one.strategyId,
      side: one.side === Side.SHORT ? ("short" as const) : ("long" as const),
      active: one.active,
      weight: one.weight,
      freeze: one.freeze,
      drain: one.drain,
      effectiveMode: MODES[one.effectiveMode] ?? "validate",
    })),
  };
}

/** Reads the gates from the messages of the control stream. */
export class ControlGates implements HeardGates {
  readonly #gates: GateView;

  constructor(gates: GateView) {
    this.#gates = gates;
  }

  state(worldId: string): HeardGate | undefined {
    const message = this.#gates.state(worldId);
    if (message === undefined) return undefined;
    return { state: gateStateFrom(message), stateHash: message.stateHash };
  }

  async ensure(worldId: string): Promise<void> {
    await this.#gates.ensure(worldId);
  }

  forget(worldId: string): void {
    this.#gates.forget(worldId);
  }

  onHeard(listener: (worldId: string) => void): () => void {
    return this.#gates.onHeard((worldId) => listener(worldId));
  }
}

/** A domain from the wire; anything unknown is backtest, orders off. */
function domainFrom(code: DomainCode): ExecutionDomain {
  return DOMAINS[code] ?? "backtest";
}

/** A domain on the wire. */
export function domainToProto(domain: string): DomainCode {
  const found = Object.entries(DOMAINS).find(([, name]) => name === domain);
  return found === undefined ? DomainCode.UNSPECIFIED : (Number(found[0]) as DomainCode);
}

function leaseFrom(leaseId: string, { sessionId }: SessionScope): StatedClaim["lease"] {
  if (leaseId === "") return "none";
  return isOrderLeaseOf(leaseId, sessionId) ? "own" : "unknown";
}

/** The gate claim of a sender, with the session of its ticket. */
export function claimFrom(claim: GateClaim | undefined, session: SessionScope): StatedClaim {
  return {
    sessionId: session.sessionId,
    lease: leaseFrom(claim?.leaseId ?? "", session),
    fence: Number(claim?.fence ?? 0n),
    domain: domainFrom(claim?.domain ?? DomainCode.UNSPECIFIED),
  };
}
