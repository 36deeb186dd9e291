import {
  type GateCommand,
  GateMachine,
  gateStateOf,
  newGateRow,
  type Proposal,
} from "./apply-core.ts";
import type { GateOverrides } from "./gate-overrides.ts";
import { newSession } from "./gate-session-steps.ts";
import {
  type GateModelConfig,
  longTtlMs,
  type ModelState,
  type ModelStep,
  machinePorts,
  strategyOf,
  tickMs,
  worldTime,
} from "./gate-world.ts";

const ttlMsOf = (config: GateModelConfig): number =>
  config.ttl > 0 ? config.ttl * tickMs : longTtlMs;

function activations(config: GateModelConfig, isActive: boolean) {
  return Array.from({ length: config.sessions }, (_, slot) => ({
    strategyId: strategyOf(slot),
    side: "long" as const,
    active: isActive,
    weight: 1,
    freeze: false,
    drain: false,
    effectiveMode: "paper" as const,
  }));
}

/** The initial state: an open world with every strategy active, sessions just started. */
export function initialState(config: GateModelConfig): ModelState {
  const ttlMs = ttlMsOf(config);
  const decision = { id: "d1", mode: "paper" as const, ttlMs, expiresAtMs: ttlMs };
  const made = newGateRow("w", decision, { storeEpoch: 1, leaseMs: config.lease * tickMs });
  const row = { ...made, activations: activations(config, true) };
  const machine = GateMachine.create(row, machinePorts(config), worldTime(0));
  const { applies, serviceCrashes, sessionCrashes, nacks, freezes, switchOffs } = config;
  const world = machine.stored();
  return {
    t: 0,
    machine,
    stored: world,
    log: [gateStateOf(machine.row)],
    sessions: Array.from({ length: config.sessions }, (_, slot) => newSession(slot, 0)),
    left: { applies, serviceCrashes, sessionCrashes, nacks, freezes, switchOffs },
    openFence: 1,
    closedAt: null,
    downAt: null,
    offAt: null,
    runAge: 0,
    isDecisionDead: false,
  };
}

/** Steps of WorldService, its operators, and its crashes. */
export function serviceSteps(
  x: ModelState,
  config: GateModelConfig,
  over: GateOverrides,
): ModelStep[] {
  const out: ModelStep[] = [];
  if (x.machine === null) {
    const began = over.leadershipAfterRestart ?? x.t * tickMs;
    const machine = GateMachine.recover(x.stored, machinePorts(config), worldTime(x.t), began);
    out.push({ label: "W: restart from store", next: { ...x, machine, downAt: null, runAge: 0 } });
    return out;
  }
  const issue = (
    label: string,
    command: GateCommand,
    used: keyof ModelState["left"] | null,
  ): void => {
    const next = commandStep(x, command, over);
    if (next === null) return;
    const left = used === null ? next.left : { ...next.left, [used]: next.left[used] - 1 };
    out.push({ label, next: { ...next, left } });
  };
  if (x.left.applies > 0) {
    const n = config.applies - x.left.applies + 1;
    issue(`W: apply ${n} commits FREEZE`, applyCommand(n, x, config), "applies");
  }
  const due = dueStep(x, over);
  if (due !== null) out.push(due);
  for (const hold of x.machine.row.holds)
    issue("operator: resume", { kind: "resume", hold, reason: "" }, null);
  if (x.left.freezes > 0 && x.machine.row.gate === "OPEN") {
    issue("operator: freeze", { kind: "freeze", hold: "manual", reason: "" }, "freezes");
  }
  if (x.left.switchOffs > 0 && x.machine.row.gate === "OPEN") {
    const change = { activations: activations(config, false) };
    issue("operator: activation off", { kind: "change", change, reason: "" }, "switchOffs");
  }
  if (config.ttl > 0 && x.machine.decisionRemainingMs(x.t * tickMs) < config.ttl * tickMs) {
    issue("W: refreshes the decision", { kind: "refresh" }, null);
  }
  if (x.left.serviceCrashes > 0) {
    const left = { ...x.left, serviceCrashes: x.left.serviceCrashes - 1 };
    const next = { ...x, machine: null, downAt: x.t, runAge: 0, left };
    out.push({ label: "W: CRASH", next });
  }
  return out;
}

function applyCommand(n: number, x: ModelState, config: GateModelConfig): GateCommand {
  const plan = {
    decision: { id: `d${n + 1}`, mode: "paper" as const, ttlMs: ttlMsOf(config) },
    activations: x.machine?.row.activations ?? [],
    policyVersion: n,
    prePromotionEdges: [],
    postPromotionEdges: [],
  };
  return { kind: "apply", request: { runId: `r${n}`, requestHash: `${n}`, plan, excluded: [] } };
}

function commandStep(x: ModelState, command: GateCommand, over: GateOverrides): ModelState | null {
  let machine = x.machine?.clone();
  if (machine === undefined) return null;
  const now = worldTime(x.t);
  let answer = machine.command(command, now);
  if (answer.kind === "refuse" && answer.refusal === "FREEZE_NOT_IN_FORCE" && over.forcesResume) {
    const world = machine.stored();
    machine.reread({ ...world, row: { ...world.row, gate: "CLOSED" } }, now);
    answer = machine.command(command, now);
  }
  if (answer.kind !== "propose") return null;
  machine.settle(answer.proposal, "committed", now);
  const isFreeze = command.kind === "apply" || command.kind === "freeze";
  if (isFreeze && over.afterFreeze !== undefined) machine = over.afterFreeze(machine, x);
  const next = committed(x, machine, answer.proposal);
  if (command.kind !== "change" || over.afterChange === undefined) return next;
  return { ...next, machine: over.afterChange(machine, x) };
}

/** The step that the product's machine says is due, committed at once; null when none is. */
function dueStep(x: ModelState, over: GateOverrides): ModelStep | null {
  if (x.machine === null) return null;
  const base = x.machine.clone();
  const machine = over.beforeTick?.(base, x) ?? base;
  const proposal = machine.tick(worldTime(x.t));
  if (proposal === null) return null;
  machine.settle(proposal, "committed", worldTime(x.t));
  return { label: `W: commits ${proposal.kind}`, next: committed(x, machine, proposal) };
}

/** True when time may not pass because WorldService has something to commit at once. */
export function mustAct(x: ModelState, over: GateOverrides): boolean {
  return dueStep(x, over) !== null;
}

function committed(x: ModelState, machine: GateMachine, proposal: Proposal): ModelState {
  const before = x.stored.row;
  const { row, run } = machine;
  const isRunNow = run?.state === "FREEZING" || run?.state === "SWITCHED";
  const isOff = proposal.kind === "change";
  const hasNewDecision = row.decision !== before.decision;
  const closedAt = row.gate === "OPEN" ? null : before.gate === "OPEN" ? x.t : x.closedAt;
  return {
    ...x,
    machine,
    stored: machine.stored(),
    log: proposal.event === null ? x.log : [...x.log, gateStateOf(machine.row)],
    openFence: row.gate === "OPEN" ? row.fence : x.openFence,
    closedAt,
    offAt: isOff ? x.t : x.offAt,
    runAge: isRunNow ? x.runAge : 0,
    isDecisionDead: hasNewDecision ? false : x.isDecisionDead,
  };
}
