import { type SessionInput, type SessionState, sessionStep } from "@qmtl/core/gate";
import { GateMachine } from "./apply-core.ts";
import type { GateOverrides } from "./gate-overrides.ts";
import {
  BASE_CONFIG,
  type GateModelConfig,
  type ModelState,
  machinePorts,
  worldTime,
} from "./gate-world.ts";

/** A seeded fault: how it is injected, and the configuration under which it must be caught. */
export interface GateMutant {
  readonly name: string;
  readonly config: GateModelConfig;
  readonly over: GateOverrides;
  /** Start of the violation that must be found. */
  readonly breaks: "I1a" | "I1b";
}

/** A machine that assumes it has always led and knows no session, so it waits for nothing. */
function forgetful(machine: GateMachine, x: ModelState, config: GateModelConfig): GateMachine {
  if (machine.run?.state !== "FREEZING") return machine;
  return GateMachine.recover(
    { ...machine.stored(), run: machine.run },
    machinePorts(config),
    worldTime(x.t),
    Number.NEGATIVE_INFINITY,
  );
}

const keepsLease: typeof sessionStep = (state, input, ports) => {
  const step = sessionStep(state, input, ports);
  return input.kind === "event" ? { ...step, state: { ...step.state, lease: state.lease } } : step;
};

/** Accepts any grant, whatever its fence, and keeps an old lease through a freeze. */
const ignoresFence: typeof sessionStep = (state, input, ports) => {
  if (input.kind !== "reply" || !input.reply.granted) return keepsLease(state, input, ports);
  const fence = state.applied?.fence ?? 0;
  return sessionStep(pretendOpen(state), { ...input, reply: { ...input.reply, fence } }, ports);
};

/** The session as if its applied state were open, whatever that state is. */
function pretendOpen(state: SessionState): SessionState {
  const { applied, lease } = state;
  if (applied === null) return state;
  return { ...state, applied: { ...applied, gate: "OPEN", fence: lease?.fence ?? applied.fence } };
}

/** Counts a lease from the receipt of the grant. */
const fromReceipt: typeof sessionStep = (state, input: SessionInput, ports) => {
  const step = sessionStep(state, input, ports);
  const { lease } = step.state;
  if (input.kind !== "reply" || lease === null || lease === state.lease) return step;
  return { ...step, state: { ...step.state, lease: { ...lease, sentAt: input.now } } };
};

/** Applies an older snapshot and keeps its lease. */
const regresses: typeof sessionStep = (state, input, ports) => {
  if (input.kind !== "event") return sessionStep(state, input, ports);
  const blank = { ...state, floor: { storeEpoch: 0, revision: 0, fence: 0 }, applied: null };
  const step = sessionStep(blank, input, ports);
  return { ...step, state: { ...step.state, lease: state.lease } };
};

const B = BASE_CONFIG;
const few: GateModelConfig = { ...B, serviceCrashes: 0, sessionCrashes: 0, nacks: 0 };

/** Every mutant of the order gate that the model must catch. */
export const GATE_MUTANTS: readonly GateMutant[] = [
  {
    name: "switch right after the freeze commit, without waiting for anybody",
    config: few,
    over: { beforeTick: (machine, x) => forgetful(machine, x, few) },
    breaks: "I1a",
  },
  {
    name: "acknowledgements without leases: a session sends while it sees OPEN",
    config: few,
    over: {
      beforeCheck: (state) =>
        state.applied === null
          ? state
          : {
              ...state,
              lease: {
                leaseId: "none",
                fence: state.applied.fence,
                sentAt: { monotonicMs: 0, uptimeMs: 0, wallMs: 0 },
                usableMs: Number.POSITIVE_INFINITY,
                emitMaxMs: Number.POSITIVE_INFINITY,
                emitterFor: new Map([["strategy-0", state.identity.sessionId]]),
              },
            },
    },
    breaks: "I1a",
  },
  {
    name: "a fence is used again by the next freeze",
    config: { ...few, applies: 2 },
    over: {
      afterFreeze: (machine, x) => {
        const world = machine.stored();
        if (world.row.fence < 3) return machine;
        const fence = world.row.fence - 1;
        const run = world.run && { ...world.run, fence };
        machine.reread({ ...world, row: { ...world.row, fence }, run }, worldTime(x.t));
        return machine;
      },
    },
    breaks: "I1a",
  },
  {
    name: "unfreeze before the freeze is in force",
    config: { ...few, applies: 0, freezes: 1 },
    over: { forcesResume: true },
    breaks: "I1a",
  },
  {
    name: "a lease counted from the receipt of the grant",
    config: few,
    over: { session: fromReceipt },
    breaks: "I1b",
  },
  {
    name: "a grant that is not bound to the fence",
    config: few,
    over: { session: ignoresFence, beforeCheck: pretendOpen },
    breaks: "I1a",
  },
  {
    name: "an empty registry trusted after a restart",
    config: { ...few, serviceCrashes: 1 },
    over: { leadershipAfterRestart: Number.NEGATIVE_INFINITY },
    breaks: "I1a",
  },
  {
    name: "a grant from a gateway's cache",
    config: few,
    over: { gatewayGrants: true },
    breaks: "I1a",
  },
  {
    name: "an older snapshot applied, the lease kept",
    config: few,
    over: { session: regresses, deliversOlder: true },
    breaks: "I1a",
  },
  {
    name: "an acknowledgement of an earlier freeze counted",
    config: { ...few, applies: 2 },
    over: {
      received: (hb, x) => (hb.gateShut ? { ...hb, fence: x.stored.row.fence } : hb),
    },
    breaks: "I1a",
  },
  {
    name: "an acknowledgement sent with an order between check and write",
    config: few,
    over: { appliesDuringOrder: true },
    breaks: "I1a",
  },
  {
    name: "a renewal below the required revision",
    config: { ...few, applies: 0, switchOffs: 1 },
    over: {
      afterChange: (machine, x) => {
        const world = machine.stored();
        const row = { ...world.row, requiredRevision: 1, activations: x.stored.row.activations };
        machine.reread({ ...world, row }, worldTime(x.t));
        return machine;
      },
    },
    breaks: "I1b",
  },
  {
    name: "a decision's time to live counted from receipt",
    config: { ...few, applies: 0, ttl: 4 },
    over: { session: fromReceipt },
    breaks: "I1b",
  },
  {
    name: "a margin smaller than clock slip and emission pause",
    config: { ...few, margin: 1 },
    over: {},
    breaks: "I1b",
  },
  {
    name: "limit of the direct path: a client clock with unbounded slip",
    config: { ...few, slip: [99] },
    over: {},
    breaks: "I1b",
  },
  {
    name: "limit of the direct path: an unbounded pause between check and write",
    config: { ...few, pause: [99] },
    over: {},
    breaks: "I1b",
  },
];
