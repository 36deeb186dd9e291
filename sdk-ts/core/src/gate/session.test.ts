import { describe, expect, test } from "vitest";
import { readingAt } from "./elapsed-clock.ts";
import { checkOrder, checkRouterGateOrder, type GateOrder } from "./gate-check.ts";
import { diffGateState } from "./gate-delta.ts";
import { type Activation, type GateState, stateHash } from "./gate-state.ts";
import type { GateEvent, HeartbeatReply } from "./messages.ts";
import { beginOrder, endOrder, giveUpOrder } from "./order-permit.ts";
import { type SessionInput, sessionStep } from "./session.ts";
import { makeHeartbeat } from "./session-lease.ts";
import {
  type LatchReason,
  type SessionState,
  sessionPhase,
  startSession,
} from "./session-state.ts";

const ports = { hash: (text: string): string => text };
const activation: Activation = {
  strategyId: "momentum",
  side: "long",
  active: true,
  weight: 1,
  freeze: false,
  drain: false,
  effectiveMode: "paper",
};
const open: GateState = {
  worldId: "w",
  storeEpoch: 1,
  revision: 5,
  fence: 2,
  gate: "OPEN",
  holds: [],
  runId: null,
  phase: null,
  decision: { id: "d1", mode: "paper" },
  activations: [activation],
  requiredRevision: 1,
};
const order: GateOrder = { strategyId: "momentum", side: "long", domain: "dryrun" };

const snapshot = (state: GateState): SessionInput => ({
  kind: "event",
  event: snapshotEvent(state),
});
const snapshotEvent = (state: GateState): GateEvent => ({
  kind: "snapshot",
  state,
  stateHash: stateHash(state, "*", ports.hash),
});
const delta = (from: GateState, to: GateState): SessionInput => ({
  kind: "event",
  event: {
    kind: "delta",
    delta: diffGateState(from, to),
    stateHash: stateHash(to, "*", ports.hash),
  },
});
const next = (state: GateState, change: Partial<GateState>): GateState => ({
  ...state,
  revision: state.revision + 1,
  ...change,
});
const run = (state: SessionState, ...inputs: SessionInput[]): SessionState =>
  inputs.reduce((at, input) => sessionStep(at, input, ports).state, state);

const fresh = startSession({ sessionId: "s1", worldId: "w", kind: "sdk", scope: "*" });
const grant = (
  seq: number,
  change: Partial<Extract<HeartbeatReply, { granted: true }>> = {},
): HeartbeatReply => ({
  granted: true,
  sessionId: "s1",
  heartbeatSeq: seq,
  leaseId: "l",
  fence: 2,
  requiredRevision: 1,
  emitterFor: new Map([["momentum", "s1"]]),
  leaseMs: 5_000,
  marginMs: 500,
  emitMaxMs: 300,
  decisionRemainingMs: 300_000,
  ...change,
});

/** A session with the open state applied and a lease from a heartbeat sent at 1 000, taken at 1 200. */
function armed(): SessionState {
  const ready = makeHeartbeat(run(fresh, snapshot(open)), readingAt(1_000)).state;
  return run(ready, { kind: "reply", reply: grant(1), now: readingAt(1_200) });
}

describe("control events", () => {
  test("a session starts shut, is ready on an open snapshot and armed on a grant", () => {
    expect(sessionPhase(fresh, readingAt(0))).toBe("SHUT");
    expect(sessionPhase(run(fresh, snapshot(open)), readingAt(0))).toBe("READY");
    expect(sessionPhase(armed(), readingAt(1_200))).toBe("ARMED");
  });

  test("a freeze drops the lease and is acknowledged with the gate shut", () => {
    const frozen = next(open, { fence: 3, gate: "CLOSING" });
    const step = sessionStep(armed(), delta(open, frozen), ports);

    expect(step.state.lease).toBeNull();
    expect(step.effects.map((e) => e.kind)).toEqual(["lease_dropped", "send_heartbeat"]);
    const { heartbeat } = makeHeartbeat(step.state, readingAt(1_300));
    expect(heartbeat).toMatchObject({ fence: 3, revision: 6, gateShut: true, inFlight: 0 });
  });

  test("an older snapshot is dropped, keeps the lease, and asks for what is applied at least", () => {
    const step = sessionStep(armed(), snapshot({ ...open, revision: 4 }), ports);

    expect(step.state.applied?.revision).toBe(5);
    expect(step.state.lease).not.toBeNull();
    expect(step.effects).toEqual([{ kind: "request_snapshot", minRevision: 5 }]);
  });

  test("a repeated delta is dropped without asking for anything", () => {
    const changed = next(open, { decision: { id: "d2", mode: "paper" } });
    const once = run(armed(), delta(open, changed));

    const twice = sessionStep(once, delta(open, changed), ports);

    expect(twice).toEqual({ state: once, effects: [] });
  });

  test("a gap shuts the gate, complains, and asks for a snapshot", () => {
    const later = next(next(open, {}), {});

    const step = sessionStep(armed(), delta(next(open, {}), later), ports);

    expect(sessionPhase(step.state, readingAt(1_200))).toBe("SHUT");
    expect(step.effects.map((e) => e.kind)).toEqual([
      "lease_dropped",
      "send_nack",
      "request_snapshot",
    ]);
  });

  test("a wrong hash shuts the gate; the last good snapshot is taken again afterwards", () => {
    const event = { ...snapshotEvent(next(open, {})), stateHash: "other" };
    const shut = run(armed(), { kind: "event", event });

    expect(sessionPhase(shut, readingAt(1_200))).toBe("SHUT");
    expect(sessionPhase(run(shut, snapshot(open)), readingAt(1_200))).toBe("READY");
  });

  test("a higher store epoch is newer whatever its revision, and voids the lease", () => {
    const restored = { ...open, storeEpoch: 2, revision: 1, fence: 2_000 };

    const state = run(armed(), snapshot(restored));

    expect(state.applied?.storeEpoch).toBe(2);
    expect(state.lease).toBeNull();
  });

  test("events that come between check and write wait until the order is written", () => {
    const begun = beginOrder(armed(), order, readingAt(1_300), checkOrder);
    if ("refusal" in begun) throw new Error(begun.refusal);
    const frozen = next(open, { fence: 3, gate: "CLOSING" });

    const waiting = run(begun.state, snapshot(frozen));
    expect(waiting.applied?.revision).toBe(5);
    expect(makeHeartbeat(waiting, readingAt(1_310)).heartbeat).toMatchObject({
      inFlight: 1,
      revision: 5,
    });

    const ended = endOrder(waiting, begun.permit, readingAt(1_320), ports);
    expect(ended.isLate).toBe(false);
    expect(ended.state.applied?.revision).toBe(6);
    expect(ended.effects.map((e) => e.kind)).toContain("send_heartbeat");
  });
});

describe("lease", () => {
  test("usable time counts from before the send, less the margin", () => {
    const state = armed();

    expect(sessionPhase(state, readingAt(5_499))).toBe("ARMED");
    expect(sessionPhase(state, readingAt(5_500))).toBe("READY");
  });

  test("the decision's remaining time shortens the lease", () => {
    const ready = makeHeartbeat(run(fresh, snapshot(open)), readingAt(0)).state;
    const state = run(ready, {
      kind: "reply",
      reply: grant(1, { decisionRemainingMs: 1_000 }),
      now: readingAt(10),
    });

    expect(sessionPhase(state, readingAt(499))).toBe("ARMED");
    expect(sessionPhase(state, readingAt(500))).toBe("READY");
  });

  test("any one clock that runs ahead ends the lease; one set back does not prolong it", () => {
    const state = armed();

    expect(sessionPhase(state, { ...readingAt(1_200), uptimeMs: 9_000 })).toBe("READY");
    expect(sessionPhase(state, { ...readingAt(6_000), wallMs: -3_600_000 })).toBe("READY");
  });

  test("a reply of another fence, of an unknown seq, or a second time arms nothing", () => {
    const ready = makeHeartbeat(run(fresh, snapshot(open)), readingAt(1_000)).state;
    const reply = (r: HeartbeatReply): SessionInput => ({
      kind: "reply",
      reply: r,
      now: readingAt(1_100),
    });

    expect(run(ready, reply(grant(1, { fence: 1 }))).lease).toBeNull();
    expect(run(ready, reply(grant(7))).lease).toBeNull();
    expect(
      run(ready, snapshot(next(open, { gate: "CLOSING", fence: 3 })), reply(grant(1))).lease,
    ).toBeNull();
  });

  test("a refusal as BEHIND asks for a snapshot even when nothing restrictive came since", () => {
    const sent = makeHeartbeat(armed(), readingAt(2_000)).state;
    const refused = {
      granted: false,
      sessionId: "s1",
      heartbeatSeq: 2,
      fence: 2,
      requiredRevision: 1,
    } as const;
    const behind = {
      kind: "reply",
      reply: { ...refused, refusal: "BEHIND" },
      now: readingAt(2_100),
    } as const;
    const wrong = { ...behind, reply: { ...refused, refusal: "HASH_MISMATCH" } } as const;

    expect(sessionStep(sent, behind, ports).effects).toEqual([
      { kind: "request_snapshot", minRevision: 5 },
    ]);
    expect(sessionPhase(run(sent, behind), readingAt(2_100))).toBe("ARMED");
    expect(sessionPhase(run(sent, wrong), readingAt(2_100))).toBe("SHUT");
  });

  test("an earlier end never replaces a later one", () => {
    const second = makeHeartbeat(
      makeHeartbeat(run(fresh, snapshot(open)), readingAt(1_000)).state,
      readingAt(2_000),
    ).state;
    const late = run(second, { kind: "reply", reply: grant(2), now: readingAt(2_100) });

    const state = run(late, { kind: "reply", reply: grant(1), now: readingAt(2_200) });

    expect(sessionPhase(state, readingAt(6_400))).toBe("ARMED");
  });

  test("a halt latches: no lease, no grant of an earlier heartbeat, until it is cleared", () => {
    const pending = makeHeartbeat(armed(), readingAt(2_000)).state;
    const halted = run(pending, { kind: "halt", reason: "halt" });

    expect(makeHeartbeat(halted, readingAt(2_050)).heartbeat).toMatchObject({
      gateShut: true,
      wantLease: false,
    });
    const cleared = run(halted, { kind: "clear_latch", reason: "halt" });
    const state = run(cleared, { kind: "reply", reply: grant(2), now: readingAt(2_100) });
    expect(state.lease).toBeNull();
    expect(sessionPhase(state, readingAt(2_100))).toBe("READY");
  });
});

describe("gate check", () => {
  const at = readingAt(1_300);
  const withLeaf = (change: Partial<Activation>): SessionState =>
    run(armed(), delta(open, next(open, { activations: [{ ...activation, ...change }] })));

  test("an armed session with an active side lets an order of its domain out", () => {
    expect(checkOrder(armed(), order, at)).toBeNull();
  });

  test.each([
    ["HALTED", run(armed(), { kind: "halt", reason: "halt" })],
    ["NO_STATE", fresh],
    ["GATE_NOT_OPEN", run(armed(), snapshot(next(open, { gate: "CLOSED", fence: 3 })))],
    ["NO_LEASE", run(fresh, snapshot(open))],
    ["NOT_ACTIVE", withLeaf({ active: false })],
    ["FROZEN", withLeaf({ freeze: true })],
    ["DRAINING", withLeaf({ drain: true })],
    ["MODE_FORBIDS_ORDERS", withLeaf({ effectiveMode: "compute-only" })],
    ["DOMAIN_MISMATCH", withLeaf({ effectiveMode: "live" })],
  ] as const)("refuses with %s", (reason, state) => {
    expect(checkOrder(state, order, at)).toBe(reason);
  });

  test("refuses an expired lease, another's strategy, and a side without an activation", () => {
    expect(checkOrder(armed(), order, readingAt(5_500))).toBe("LEASE_EXPIRED");
    expect(checkOrder(armed(), { ...order, strategyId: "other" }, at)).toBe("NOT_EMITTER");
    expect(checkOrder(armed(), { ...order, side: "short" }, at)).toBe("NOT_ACTIVE");
  });

  test("a gate takes orders only of the emitter it was told of, under its own fence", () => {
    const gate = { ...armed() };
    const from = { ...order, sessionId: "s1", fence: 2 };

    expect(checkRouterGateOrder(gate, from, at)).toBeNull();
    expect(checkRouterGateOrder(gate, { ...from, fence: 1 }, at)).toBe("FENCE_MISMATCH");
    expect(checkRouterGateOrder(gate, { ...from, sessionId: "s2" }, at)).toBe("NOT_EMITTER");
  });

  test("a write long after the check and past the lease is late and latches the session", () => {
    const begun = beginOrder(armed(), order, readingAt(5_400), checkOrder);
    if ("refusal" in begun) throw new Error(begun.refusal);
    expect(begun.permit.validForMs).toBe(100);

    const ended = endOrder(begun.state, begun.permit, readingAt(5_800), ports);

    expect(ended.isLate).toBe(true);
    expect(ended.state).toMatchObject({ latched: ["late_write"], lateWrites: 1, inFlight: 0 });
  });

  test("a halt hid that the session was latched for a late write, too: each cause stays until it is cleared itself", () => {
    const begun = beginOrder(armed(), order, readingAt(5_400), checkOrder);
    if ("refusal" in begun) throw new Error(begun.refusal);
    const late = endOrder(begun.state, begun.permit, readingAt(5_800), ports).state;
    const halt = { kind: "halt", reason: "halt" } as const;
    const clear = (reason: LatchReason) => ({ kind: "clear_latch", reason }) as const;

    const both = run(late, halt, halt);

    expect(both.latched).toEqual(["late_write", "halt"]);
    expect(checkOrder(both, order, readingAt(5_900))).toBe("HALTED");
    const resumed = run(both, clear("halt"));
    expect(checkOrder(resumed, order, readingAt(5_900))).toBe("LATE_WRITE");
    expect(sessionPhase(run(both, clear("late_write")), readingAt(5_900))).toBe("SHUT");
    expect(sessionPhase(run(resumed, clear("late_write")), readingAt(5_900))).toBe("READY");
    expect(sessionStep(resumed, clear("halt"), ports)).toEqual({ state: resumed, effects: [] });
  });

  test("an order that was not written is never late, and events no longer wait for it", () => {
    const begun = beginOrder(armed(), order, readingAt(5_400), checkOrder);
    if ("refusal" in begun) throw new Error(begun.refusal);
    const frozen = next(open, { fence: 3, gate: "CLOSING" });
    const waiting = run(begun.state, snapshot(frozen));

    const { state } = giveUpOrder(waiting, ports);

    expect(state).toMatchObject({ latched: [], lateWrites: 0, inFlight: 0 });
    expect(state.applied?.revision).toBe(6);
  });
});
