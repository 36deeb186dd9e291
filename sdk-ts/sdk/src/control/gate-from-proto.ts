import {
  ApplyPhase,
  Gate,
  type GateActivation,
  type GateState as GateStateMessage,
  HoldKind,
} from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import {
  EffectiveMode,
  Side,
  ExecutionDomain as WireDomain,
} from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { blake3Hex } from "@qmtl/core/canonical";
import type {
  Activation,
  ExecutionDomain,
  GateState,
  HashText,
  Hold,
  EffectiveMode as Mode,
} from "@qmtl/core/gate";
import { type SessionInput, scopeGateState, stateHash } from "@qmtl/core/gate";

/** Hash of the text of a gate state, in the form of the contract. */
export const hashText: HashText = (text) => `blake3:${blake3Hex(text)}`;

const gates: Readonly<Record<number, GateState["gate"]>> = {
  [Gate.OPEN]: "OPEN",
  [Gate.CLOSING]: "CLOSING",
  [Gate.CLOSED]: "CLOSED",
};

const phases: Readonly<Record<number, GateState["phase"]>> = {
  [ApplyPhase.UNSPECIFIED]: null,
  [ApplyPhase.FREEZING]: "FREEZING",
  [ApplyPhase.SWITCHED]: "SWITCHED",
  [ApplyPhase.UNFROZEN]: "UNFROZEN",
  [ApplyPhase.ROLLED_BACK]: "ROLLED_BACK",
};

const holdNames: Readonly<Record<number, Hold>> = {
  [HoldKind.ROLLBACK]: "rollback",
  [HoldKind.MANUAL]: "manual",
  [HoldKind.BREAKER]: "breaker",
};

const modes: Readonly<Record<number, Mode>> = {
  [EffectiveMode.VALIDATE]: "validate",
  [EffectiveMode.COMPUTE_ONLY]: "compute-only",
  [EffectiveMode.PAPER]: "paper",
  [EffectiveMode.LIVE]: "live",
  [EffectiveMode.SHADOW]: "shadow",
};

const domains: Readonly<Record<ExecutionDomain, WireDomain>> = {
  backtest: WireDomain.BACKTEST,
  dryrun: WireDomain.DRYRUN,
  live: WireDomain.LIVE,
  shadow: WireDomain.SHADOW,
};

/** An execution domain as its enum on the wire. */
export function domainToProto(domain: ExecutionDomain): WireDomain {
  return domains[domain];
}

/**
 * A gate state from the wire as an input of the session of `strategyIds`. The hash of the message covers the whole
 * world and is checked here; the input has the part of these strategies only, with the hash of that part, or an empty
 * hash if the check failed. An unknown enum value gives the input `unspecified_enum`.
 */
export function gateInput(message: GateStateMessage, strategyIds: readonly string[]): SessionInput {
  const revision = Number(message.revision);
  const fence = Number(message.fence);
  const state = gateFromProto(message);
  if (state === undefined) return { kind: "unspecified_enum", revision, fence };
  const isIntact = stateHash(state, "*", hashText) === message.stateHash;
  const hash = isIntact ? stateHash(state, strategyIds, hashText) : "";
  const scoped = scopeGateState(state, strategyIds);
  return { kind: "event", event: { kind: "snapshot", state: scoped, stateHash: hash } };
}

function gateFromProto(message: GateStateMessage): GateState | undefined {
  const gate = gates[message.gate];
  const phase = phases[message.phase];
  const mode = modes[message.decision?.mode ?? 0];
  const holds = holdsFromProto(message.holds.map(({ kind }) => kind));
  const activations = message.activations.map(activationFromProto);
  if (gate === undefined || phase === undefined || mode === undefined) return undefined;
  if (holds === undefined) return undefined;
  if (!activations.every((activation) => activation !== undefined)) return undefined;
  return {
    worldId: message.worldId,
    storeEpoch: Number(message.storeEpoch),
    revision: Number(message.revision),
    fence: Number(message.fence),
    gate,
    holds,
    runId: message.runId === "" ? null : message.runId,
    phase,
    decision: { id: message.decision?.decisionId ?? "", mode },
    activations,
    requiredRevision: Number(message.requiredRevision),
  };
}

/** The holds sorted by name, as the state hash requires; undefined if one is unknown. */
function holdsFromProto(kinds: readonly HoldKind[]): Hold[] | undefined {
  const known = kinds.flatMap((kind) => holdNames[kind] ?? []);
  return known.length === kinds.length ? known.sort() : undefined;
}

function activationFromProto(message: GateActivation): Activation | undefined {
  const effectiveMode = modes[message.effectiveMode];
  const isSide = message.side === Side.LONG || message.side === Side.SHORT;
  if (effectiveMode === undefined || !isSide) return undefined;
  const { strategyId, active, weight, freeze, drain } = message;
  const side = message.side === Side.LONG ? "long" : "short";
  return { strategyId, side, active, weight, freeze, drain, effectiveMode };
}
