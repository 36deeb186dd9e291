import type { GateState } from "@qmtl/core/gate";
import type { GateOverrides } from "./gate-overrides.ts";
import { initialState, serviceSteps } from "./gate-service-steps.ts";
import { sessionSteps } from "./gate-session-steps.ts";
import { timeSteps } from "./gate-time.ts";
import {
  type GateModelConfig,
  hashOf,
  type ModelSession,
  type ModelState,
  type ModelStep,
  tickMs,
} from "./gate-world.ts";

/** Result of a search. */
export interface SearchResult {
  readonly verdict: "holds" | "violated" | "cut";
  readonly states: number;
  readonly orders: number;
  readonly violation: string | null;
  /** Labels of the steps that lead to the violation. */
  readonly trace: readonly string[];
  /** States from which no settled state can be reached; −1 when not asked for. */
  readonly deadEnds: number;
}

/** Breadth-first search over every reachable state of the model, driving the product's modules. */
export function searchGate(
  config: GateModelConfig,
  over: GateOverrides = {},
  findDeadEnds = false,
): SearchResult {
  const first = initialState(config);
  const ids = new Map<string, number>([[keyOf(first, config), 0]]);
  const parents: number[] = [-1];
  const labels: string[] = [""];
  const settled: boolean[] = [isSettled(first)];
  const edges: [number, number][] = [];
  let orders = 0;
  let front: [ModelState, number][] = [[first, 0]];
  const trace = (id: number, last: string): string[] => {
    const out = [last];
    for (let at = id; at > 0; at = parents[at]!) out.push(labels[at]!);
    return out.reverse();
  };
  while (front.length > 0) {
    const found: [ModelState, number][] = [];
    for (const [x, id] of front) {
      for (const step of [...protocolSteps(x, config, over), ...timeSteps(x, config, over)]) {
        if (step.label.includes("ORDER LEAVES")) orders += 1;
        if (step.violation) {
          const at = { states: ids.size, orders, violation: step.violation, deadEnds: -1 };
          return { verdict: "violated", trace: trace(id, step.label), ...at };
        }
        const key = keyOf(step.next, config);
        let to = ids.get(key);
        if (to === undefined) {
          to = ids.size;
          ids.set(key, to);
          parents.push(id);
          labels.push(step.label);
          settled.push(findDeadEnds && isSettled(step.next));
          found.push([step.next, to]);
        }
        if (findDeadEnds) edges.push([id, to]);
      }
      if (ids.size > config.statesMax) {
        return {
          verdict: "cut",
          states: ids.size,
          orders,
          violation: null,
          trace: [],
          deadEnds: -1,
        };
      }
    }
    front = found;
  }
  const deadEnds = findDeadEnds ? countDeadEnds(ids.size, edges, settled) : -1;
  return { verdict: "holds", states: ids.size, orders, violation: null, trace: [], deadEnds };
}

/** I3b: settled means W up, no run in flight, gate OPEN, every session armed under the current fence. */
function isSettled(x: ModelState): boolean {
  const { row, run } = x.stored;
  const isRunning = run?.state === "FREEZING" || run?.state === "SWITCHED";
  if (x.machine === null || row.gate !== "OPEN" || isRunning) return false;
  return x.sessions.every((s) => s.isUp && s.state.lease?.fence === row.fence);
}

function countDeadEnds(
  count: number,
  edges: readonly [number, number][],
  settled: readonly boolean[],
): number {
  const into: number[][] = Array.from({ length: count }, () => []);
  for (const [from, to] of edges) into[to]!.push(from);
  const isGood = [...settled];
  const open = settled.flatMap((good, id) => (good ? [id] : []));
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    for (const from of into[id]!) {
      if (isGood[from]) continue;
      isGood[from] = true;
      open.push(from);
    }
  }
  return isGood.filter((good) => !good).length;
}

const interned = new Map<string, number>();

function internState(state: GateState): number {
  const text = hashOf(state);
  let id = interned.get(text);
  if (id === undefined) {
    id = interned.size;
    interned.set(text, id);
  }
  return id;
}

/** Text of a state with every instant relative to now and cut off where it has no more effect. */
function keyOf(x: ModelState, config: GateModelConfig): string {
  const ago = (at: number | null): number => (at === null ? -1 : Math.min(config.lease, x.t - at));
  const { row, run } = x.stored;
  const runKey =
    run === null ? "" : `${run.runId}${run.state}${run.resumeCount}${run.previous.decision.id}`;
  const ttl =
    config.ttl > 0 ? Math.max(0, Math.min(config.ttl, row.decision.expiresAtMs / tickMs - x.t)) : 0;
  const left = Object.values(x.left).join();
  const log = x.log.map(internState).join();
  const ages = `${row.gate === "CLOSING" ? ago(x.closedAt) : ""},${ago(x.downAt)},${ago(x.offAt)},${x.runAge},${x.isDecisionDead}`;
  const world = `${log};${runKey};${ttl};${left};${x.openFence};${ages};${row.maxLeaseMs}`;
  return `${world}|${serviceKey(x, config)}|${x.sessions.map(sessionKey).join("|")}`;
}

function serviceKey(x: ModelState, config: GateModelConfig): string {
  if (x.machine === null)
    return `down${x.stored.emitters.map((e) => `${e.strategyId}${e.sessionId}`)}`;
  const nowMs = x.t * tickMs;
  const { memory, leases } = x.machine;
  const cap = (ms: number, max: number): number => Math.max(0, Math.min(max, ms));
  const leaseMs = config.lease * tickMs;
  const { row, run } = x.stored;
  const isTimed = run?.state === "SWITCHED" || run?.state === "UNFROZEN";
  const step = isTimed ? cap(nowMs - memory.timing.stepBeganMs, leaseMs) : 0;
  const beganMax = run?.state === "SWITCHED" ? 2 * leaseMs : leaseMs;
  const began = cap(nowMs - memory.timing.leadershipBeganAtMs, beganMax);
  const ttl = config.ttl > 0 ? cap(memory.timing.decisionEndsMs - nowMs, config.ttl * tickMs) : 0;
  const deadMs = leaseMs - tickMs;
  const sessions = leases.registry.all().map((s) => {
    const alive = cap(s.aliveUntilMs - nowMs, leaseMs);
    const heard = cap(nowMs - s.lastHeartbeatMs, deadMs);
    const isGone = !x.sessions.some((one) => one.state.identity.sessionId === s.sessionId);
    if (isGone && alive === 0 && heard === deadMs) return "";
    const acks = [s.ackedFence === row.fence, s.ackedRevision === row.revision];
    const grant = [s.grantedRevision > 0, s.answeredRevision >= row.requiredRevision];
    const seq = seqRank(x, s.sessionId, s.lastSeq);
    return `${s.sessionId},${alive},${heard},${acks},${grant},${seq}`;
  });
  const emitters = leases.emitters
    .ages(nowMs)
    .map(([id, holder, age]) => `${id}${holder}${cap(age, leaseMs)}`);
  const set = memory.switchSet === null ? "-" : [...memory.switchSet].join();
  return `${step},${began},${ttl},${memory.needsResume},${memory.nackReason !== null},${set};${sessions.filter(Boolean).sort().join(";")};${emitters}`;
}

/** Order of each heartbeat in flight against the last one that WorldService received: older, the same or newer. */
function seqRank(x: ModelState, sessionId: string, lastSeq: number): string {
  const s = x.sessions.find((one) => one.state.identity.sessionId === sessionId);
  const of = (seq: number | undefined): number =>
    seq === undefined ? 0 : Math.sign(seq - lastSeq) + 2;
  return `${of(s?.renew?.message.heartbeatSeq)}${of(s?.ack?.heartbeatSeq)}`;
}

function sessionKey(s: ModelSession): string {
  if (!s.isUp) return `down${s.incarnation}`;
  const { state } = s;
  const age = (sentMs: number | undefined): number =>
    sentMs === undefined ? -1 : s.local * tickMs - sentMs;
  const sentOf = (seq: number | undefined): number =>
    age(state.sent.find((one) => one.seq === seq)?.sentAt.monotonicMs);
  const lease = state.lease && [
    state.lease.fence,
    state.lease.usableMs,
    age(state.lease.sentAt.monotonicMs),
    s.leaseSlip,
  ];
  const renew = s.renew && [
    sentOf(s.renew.message.heartbeatSeq),
    s.renew.slip,
    s.renew.message.revision,
  ];
  const grant = s.grant && [
    sentOf(s.grant.message.heartbeatSeq),
    s.grant.slip,
    s.grant.message.fence,
    s.grant.message.granted &&
      Math.min(s.grant.message.decisionRemainingMs, s.grant.message.leaseMs),
  ];
  const shared = s.grant?.message.heartbeatSeq === s.renew?.message.heartbeatSeq;
  const ack = s.ack && [s.ack.revision, s.ack.fence, s.ack.inFlight, s.ack.gateShut];
  const order = s.order && [s.order.permit.fence, s.order.permit.decisionId, s.order.age];
  const applied = state.applied?.revision ?? 0;
  const orderAge = s.order && [age(s.order.permit.usableUntil.sentAt.monotonicMs)];
  return JSON.stringify([
    s.incarnation,
    applied,
    state.floor.revision,
    lease,
    renew,
    grant,
    shared,
    ack,
    order,
    orderAge,
  ]);
}

/** All steps from one state, except those of time. */
function protocolSteps(x: ModelState, config: GateModelConfig, over: GateOverrides): ModelStep[] {
  const out: ModelStep[] = [...serviceSteps(x, config, over)];
  for (let slot = 0; slot < x.sessions.length; slot++)
    out.push(...sessionSteps(x, slot, config, over));
  return out;
}
