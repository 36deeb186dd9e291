import { create } from "@bufbuild/protobuf";
import {
  ApplyPhase,
  Gate,
  type GateActivation,
  GateActivationSchema,
  type GateState as GateStateMessage,
  GateStateSchema,
  HoldKind,
} from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { EffectiveMode, Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  type Activation,
  type Hold,
  type EffectiveMode as Mode,
  type PositionSide,
  stateHash,
} from "@qmtl/core/gate";
import { type GateRow, gateStateOf, type RunState } from "../apply/index.ts";
import type { HoldReasons } from "../store/gate-table.ts";
import { hashText } from "../store/hash-text.ts";

const MODES = {
  validate: EffectiveMode.VALIDATE,
  "compute-only": EffectiveMode.COMPUTE_ONLY,
  paper: EffectiveMode.PAPER,
  live: EffectiveMode.LIVE,
  shadow: EffectiveMode.SHADOW,
} as const satisfies Record<Mode, EffectiveMode>;

const GATES = { OPEN: Gate.OPEN, CLOSING: Gate.CLOSING, CLOSED: Gate.CLOSED } as const;

const PHASES = {
  FREEZING: ApplyPhase.FREEZING,
  SWITCHED: ApplyPhase.SWITCHED,
  UNFROZEN: ApplyPhase.UNFROZEN,
  COMPLETED: ApplyPhase.COMPLETED,
  ROLLED_BACK: ApplyPhase.ROLLED_BACK,
} as const satisfies Record<RunState, ApplyPhase>;

const HOLDS = {
  rollback: HoldKind.ROLLBACK,
  manual: HoldKind.MANUAL,
  breaker: HoldKind.BREAKER,
} as const satisfies Record<Hold, HoldKind>;

/** A mode on the wire. */
export function modeToProto(mode: Mode): EffectiveMode {
  return MODES[mode];
}

/** A side on the wire. */
function sideToProto(side: PositionSide): Side {
  return side === "long" ? Side.LONG : Side.SHORT;
}

/** A phase on the wire. */
export function phaseToProto(state: RunState): ApplyPhase {
  return PHASES[state];
}

/** An activation on the wire. */
export function activationToProto(activation: Activation): GateActivation {
  return create(GateActivationSchema, {
    strategyId: activation.strategyId,
    side: sideToProto(activation.side),
    active: activation.active,
    weight: activation.weight,
    freeze: activation.freeze,
    drain: activation.drain,
    effectiveMode: modeToProto(activation.effectiveMode),
  });
}

/** The whole gate of a world on the wire, with the hash over all of it. */
export function gateToProto(row: GateRow, reasons: HoldReasons): GateStateMessage {
  const state = gateStateOf(row);
  return create(GateStateSchema, {
    worldId: row.worldId,
    storeEpoch: BigInt(row.storeEpoch),
    revision: BigInt(row.revision),
    fence: BigInt(row.fence),
    gate: GATES[row.gate],
    runId: row.runId ?? "",
    phase: row.phase === null ? ApplyPhase.UNSPECIFIED : PHASES[row.phase],
    holds: [...row.holds]
      .sort()
      .map((name) => ({ kind: HOLDS[name], reason: reasons[name] ?? "" })),
    decision: { decisionId: row.decision.id, mode: modeToProto(row.decision.mode) },
    activations: row.activations.map(activationToProto),
    requiredRevision: BigInt(row.requiredRevision),
    stateHash: stateHash(state, "*", hashText),
  });
}
