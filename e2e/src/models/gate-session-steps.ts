import {
  beginOrder,
  checkOrder,
  endOrder,
  type HeartbeatReply,
  makeHeartbeat,
  readingAt,
  type SessionState,
  startSession,
} from "@qmtl/core/gate";
import type { GateMachine } from "./apply-core.ts";
import { type GateOverrides, productSession } from "./gate-overrides.ts";
import { orderViolation } from "./gate-violations.ts";
import {
  claimOf,
  type GateModelConfig,
  hashOf,
  type InFlight,
  longTtlMs,
  type ModelSession,
  type ModelState,
  type ModelStep,
  strategyOf,
  tickMs,
  worldTime,
} from "./gate-world.ts";

/** Session ports of the model: the hash is the canonical text itself. */
export const modelSessionPorts = { hash: (text: string): string => text };

/** A session that has just started. */
export function newSession(slot: number, incarnation: number): ModelSession {
  const identity = {
    sessionId: `s${slot}.${incarnation}`,
    worldId: "w",
    kind: "sdk",
    scope: "*",
  } as const;
  const idle = { leaseSlip: 0, renew: null, ack: null, grant: null, hasNacked: false, order: null };
  return { isUp: true, incarnation, state: startSession(identity), local: 0, ...idle };
}

/** Steps of one session: control events, messages, orders and crashes. */
export function sessionSteps(
  x: ModelState,
  slot: number,
  config: GateModelConfig,
  over: GateOverrides,
): ModelStep[] {
  const s = x.sessions[slot]!;
  const who = `S${slot + 1}`;
  const put = (next: ModelSession, y: ModelState = x): ModelState => ({
    ...y,
    sessions: y.sessions.map((old, i) => (i === slot ? prune(next) : old)),
  });
  if (!s.isUp) {
    return [
      { label: `${who}: starts as a new session`, next: put(newSession(slot, s.incarnation + 1)) },
    ];
  }
  const out: ModelStep[] = [...controlSteps(x, s, who, put, over)];
  if (s.state.applied?.gate === "OPEN") {
    const { state, heartbeat } = makeHeartbeat(s.state, readingAt(s.local * tickMs));
    out.push({
      label: `${who}: sends a renewal`,
      next: put({ ...s, state, renew: { message: heartbeat, slip: 0 } }),
    });
  }
  out.push(...deliverySteps(x, s, who, put, config, over));
  out.push(...orderSteps(x, s, slot, who, put, over));
  if (x.left.sessionCrashes > 0) {
    const left = { ...x.left, sessionCrashes: x.left.sessionCrashes - 1 };
    const dead = { ...newSession(slot, s.incarnation), isUp: false };
    out.push({ label: `${who}: CRASH`, next: put(dead, { ...x, left }) });
  }
  return out;
}

type Put = (next: ModelSession, y?: ModelState) => ModelState;

/** Steps in which a session sees a revision (any committed one, at any time) or sends a Nack. */
function controlSteps(
  x: ModelState,
  s: ModelSession,
  who: string,
  put: Put,
  over: GateOverrides,
): ModelStep[] {
  const out: ModelStep[] = [];
  const applied = s.state.applied?.revision ?? 0;
  const step = over.session ?? productSession;
  for (const event of x.log) {
    if (event.revision === applied || (event.revision < applied && !over.deliversOlder)) continue;
    if (s.state.inFlight > 0 && !over.appliesDuringOrder) continue;
    const shown = { ...s.state, inFlight: 0 };
    const input = {
      kind: "event",
      event: { kind: "snapshot", state: event, stateHash: hashOf(event) },
    } as const;
    const after = step(shown, input, modelSessionPorts).state;
    const label = `${who}: applies revision ${event.revision} (fence ${event.fence}, ${event.gate}, ${event.decision.id})`;
    if (event.gate === "OPEN") {
      out.push({ label, next: put({ ...s, state: { ...after, inFlight: s.state.inFlight } }) });
      continue;
    }
    const { state, heartbeat } = makeHeartbeat(after, readingAt(s.local * tickMs));
    out.push({
      label: `${label}, acknowledges`,
      next: put({ ...s, state: { ...state, inFlight: s.state.inFlight }, ack: heartbeat }),
    });
  }
  const isRunning = x.stored.run?.state === "FREEZING" || x.stored.run?.state === "SWITCHED";
  if (x.left.nacks > 0 && isRunning && applied === x.stored.row.revision && x.machine !== null) {
    const machine = x.machine.clone();
    const about = {
      heartbeatSeq: 0,
      revision: applied,
      fence: x.stored.row.fence,
      runId: x.stored.row.runId,
    };
    const nack = {
      sessionId: s.state.identity.sessionId,
      reason: "UNDECODABLE",
      lastGoodRevision: 0,
      ...about,
    } as const;
    machine.nack(claimOf(s), nack);
    const left = { ...x.left, nacks: x.left.nacks - 1 };
    out.push({ label: `W: gets a NACK of ${who}`, next: { ...x, machine, left } });
  }
  return out;
}

function deliverySteps(
  x: ModelState,
  s: ModelSession,
  who: string,
  put: Put,
  config: GateModelConfig,
  over: GateOverrides,
): ModelStep[] {
  const out: ModelStep[] = [];
  if (x.machine !== null && s.ack !== null) {
    const { machine } = deliver(x, x.machine, s, over.received?.(s.ack, x) ?? s.ack);
    out.push({ label: `W: gets the acknowledgement of ${who}`, next: { ...x, machine } });
  }
  if (s.renew !== null && x.machine !== null) {
    const heartbeat = over.received?.(s.renew.message, x) ?? s.renew.message;
    const { machine, reply } = deliver(x, x.machine, s, heartbeat);
    const grant: InFlight<HeartbeatReply> | null = reply.granted
      ? { message: reply, slip: s.renew.slip }
      : s.grant;
    const next = put({ ...s, grant }, { ...x, machine, stored: machine.stored() });
    out.push({
      label: `W: ${reply.granted ? "grants a lease to" : `refuses (${reply.refusal})`} ${who}`,
      next,
    });
  }
  if (s.renew !== null && over.gatewayGrants) {
    const reply = cachedGrant(s.renew.message, config);
    out.push({
      label: `gateway: grants to ${who} from its cache`,
      next: put({ ...s, grant: { message: reply, slip: s.renew.slip } }),
    });
  }
  if (s.grant !== null) {
    const step = over.session ?? productSession;
    const { message, slip } = s.grant;
    const input = { kind: "reply", reply: message, now: readingAt(s.local * tickMs) } as const;
    const state = step(s.state, input, modelSessionPorts).state;
    const leaseSlip = state.lease === s.state.lease ? s.leaseSlip : slip;
    out.push({
      label: `${who}: takes a grant of fence ${message.fence}`,
      next: put({ ...s, state, leaseSlip, grant: null }),
    });
  }
  return out;
}

function cachedGrant(
  heartbeat: ModelSession["ack"] & object,
  config: GateModelConfig,
): HeartbeatReply {
  const { sessionId, heartbeatSeq, fence } = heartbeat;
  const emitterFor = new Map(
    Array.from({ length: config.sessions }, (_, i) => [strategyOf(i), sessionId]),
  );
  const times = {
    leaseMs: config.lease * tickMs,
    marginMs: config.margin * tickMs,
    emitMaxMs: tickMs,
    decisionRemainingMs: longTtlMs,
  };
  return {
    granted: true,
    sessionId,
    heartbeatSeq,
    leaseId: "cached",
    fence,
    requiredRevision: 0,
    emitterFor,
    ...times,
  };
}

function deliver(
  x: ModelState,
  from: GateMachine,
  s: ModelSession,
  heartbeat: NonNullable<ModelSession["ack"]>,
) {
  const machine = from.clone();
  const now = worldTime(x.t);
  for (;;) {
    const answer = machine.heartbeat(claimOf(s), heartbeat, now);
    if (answer.kind === "reply") return { machine, reply: answer.reply };
    machine.settle(answer.proposal, "committed", now);
  }
}

function orderSteps(
  x: ModelState,
  s: ModelSession,
  slot: number,
  who: string,
  put: Put,
  over: GateOverrides,
): ModelStep[] {
  const now = readingAt(s.local * tickMs);
  if (s.order !== null) {
    const { permit } = s.order;
    const ended = endOrder(s.state, permit, now, modelSessionPorts);
    const label = `${who}: ORDER LEAVES (fence ${permit.fence}, ${permit.decisionId})`;
    const next = put({ ...s, state: { ...ended.state, latched: [] }, order: null });
    return [{ label, next, violation: orderViolation(x, permit.fence, permit.decisionId) }];
  }
  const ready: SessionState = over.beforeCheck?.(s.state, s) ?? s.state;
  const order = { strategyId: strategyOf(slot), side: "long", domain: "dryrun" } as const;
  const begun = beginOrder(ready, order, now, checkOrder);
  if ("refusal" in begun) return [];
  const held = { permit: begun.permit, age: 0 };
  const state = { ...begun.state, applied: s.state.applied, lease: s.state.lease };
  return [
    {
      label: `${who}: gate check passes (fence ${begun.permit.fence})`,
      next: put({ ...s, state, order: held }),
    },
  ];
}

/** Forgets what can have no further effect: sent heartbeats to which no answer can come any more. */
function prune(s: ModelSession): ModelSession {
  const seqs = new Set([s.renew?.message.heartbeatSeq, s.grant?.message.heartbeatSeq]);
  const sent = s.state.sent.filter((one) => seqs.has(one.seq));
  return { ...s, state: { ...s.state, sent } };
}
