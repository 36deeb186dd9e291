import { create } from "@bufbuild/protobuf";
import {
  Gate,
  type GateState as GateMessage,
  GateStateSchema,
} from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { EffectiveMode, Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { type Activation, type EffectiveMode as Mode, stateHash } from "@qmtl/core/gate";
import { hashText } from "../control/index.ts";

/** State of a world's gate, as a test sets it. */
export interface FakeGateFacts {
  readonly revision: number;
  readonly fence: number;
  readonly isOpen: boolean;
  readonly mode: Mode;
  readonly strategyIds: readonly string[];
}

const wireModes = {
  validate: EffectiveMode.VALIDATE,
  "compute-only": EffectiveMode.COMPUTE_ONLY,
  paper: EffectiveMode.PAPER,
  live: EffectiveMode.LIVE,
  shadow: EffectiveMode.SHADOW,
} as const satisfies Record<Mode, EffectiveMode>;

/** The gate as WorldService would send it, with the hash of the whole state. */
export function fakeGateMessage(worldId: string, facts: FakeGateFacts): GateMessage {
  const { revision, fence, isOpen, mode, strategyIds } = facts;
  const activations: Activation[] = [...strategyIds].sort().flatMap((strategyId) =>
    (["long", "short"] as const).map((side) => ({
      strategyId,
      side,
      active: true,
      weight: 1,
      freeze: false,
      drain: false,
      effectiveMode: mode,
    })),
  );
  const base = { worldId, storeEpoch: 1, revision, fence, holds: [], runId: null, phase: null };
  const gate = isOpen ? ("OPEN" as const) : ("CLOSED" as const);
  const decision = { id: "d1", mode };
  const state = { ...base, gate, decision, activations, requiredRevision: 0 };
  const wireMode = wireModes[mode];
  return create(GateStateSchema, {
    worldId,
    storeEpoch: 1n,
    revision: BigInt(revision),
    fence: BigInt(fence),
    gate: isOpen ? Gate.OPEN : Gate.CLOSED,
    decision: { decisionId: "d1", mode: wireMode },
    activations: activations.map(({ strategyId, side, active, weight }) => ({
      strategyId,
      side: side === "long" ? Side.LONG : Side.SHORT,
      active,
      weight,
      effectiveMode: wireMode,
    })),
    stateHash: stateHash(state, "*", hashText),
  });
}
