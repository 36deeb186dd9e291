import { type GateState, type Heartbeat, LIVE_TIMERS, type Nack } from "@qmtl/core/gate";
import { describe, expect, test } from "vitest";
import type { GateCommand } from "./gate-commands.ts";
import { GateMachine } from "./gate-machine.ts";
import { type GateRow, gateStateOf, newGateRow, type WorldTime } from "./gate-row.ts";
import type { Proposal } from "./proposal.ts";
import type { SessionClaim } from "./session-registry.ts";

const hashState = (state: GateState): string => `hash of ${state.revision}`;
const ports = { hashState, timers: LIVE_TIMERS };
const G = LIVE_TIMERS.leaseMs;
const at = (ms: number): WorldTime => ({ monotonicMs: ms, wallMs: 1_000_000 + ms });
const activation = {
  strategyId: "momentum",
  side: "long" as const,
  active: true,
  weight: 1,
  freeze: false,
  drain: false,
  effectiveMode: "paper" as const,
};
const decision = { id: "d1", mode: "paper" as const, ttlMs: 300_000, expiresAtMs: 1_300_000 };
const row: GateRow = {
  ...newGateRow("w", decision, { storeEpoch: 1, leaseMs: G }),
  activations: [activation],
};
const sdk = (sessionId: string): SessionClaim => ({ sessionId, kind: "sdk", scope: ["momentum"] });
const router: SessionClaim = { sessionId: "router", kind: "router", scope: "*" };

const create = () => GateMachine.create(row, ports, at(0));
const plan = {
  decision: { id: "d2", mode: "paper" as const, ttlMs: 300_000 },
  activations: [{ ...activation, weight: 0.5 }],
  policyVersion: 7,
  prePromotionEdges: [{ source: "a", target: "b", active: false, reason: "promotion" }],
  postPromotionEdges: [{ source: "a", target: "b", active: true, reason: "promotion" }],
};
const apply = (runId = "r1", excluded: string[] = []): GateCommand => ({
  kind: "apply",
  request: { runId, requestHash: "h", plan, excluded },
});

let seq = 0;
function beat(m: GateMachine, change: Partial<Heartbeat> = {}): Heartbeat {
  seq += 1;
  const { storeEpoch, revision, fence, gate } = m.row;
  const stateHash = hashState(gateStateOf(m.row));
  const base = {
    sessionId: "s1",
    worldId: "w",
    heartbeatSeq: seq,
    storeEpoch,
    revision,
    fence,
    stateHash,
  };
  return {
    ...base,
    gateShut: gate !== "OPEN",
    inFlight: 0,
    wantLease: true,
    lateWrites: 0,
    ...change,
  };
}
function commit(m: GateMachine, proposal: Proposal | null, ms: number): Proposal {
  if (proposal === null) throw new Error("nothing was due");
  m.settle(proposal, "committed", at(ms));
  return proposal;
}
function order(m: GateMachine, command: GateCommand, ms: number): Proposal {
  const answer = m.command(command, at(ms));
  if (answer.kind !== "propose") throw new Error(JSON.stringify(answer));
  return commit(m, answer.proposal, ms);
}
/** Handles a heartbeat, commits emitter rows on the way, and returns the reply's refusal or "granted". */
function hear(
  m: GateMachine,
  claim: SessionClaim,
  ms: number,
  change: Partial<Heartbeat> = {},
): string {
  const heartbeat = beat(m, { sessionId: claim.sessionId, ...change });
  for (;;) {
    const answer = m.heartbeat(claim, heartbeat, at(ms));
    if (answer.kind === "reply") return answer.reply.granted ? "granted" : answer.reply.refusal;
    commit(m, answer.proposal, ms);
  }
}

describe("apply", () => {
  test("runs FREEZING, SWITCHED, UNFROZEN, COMPLETED as sessions acknowledge", () => {
    const m = create();
    expect(hear(m, sdk("s1"), 100)).toBe("granted");

    const begun = order(m, apply(), 200);
    expect(begun.event?.state).toMatchObject({
      fence: 2,
      gate: "CLOSING",
      phase: "FREEZING",
      requiredRevision: 2,
    });
    expect(begun.row.edges).toEqual(plan.prePromotionEdges);
    expect(m.tick(at(300))).toBeNull();

    expect(hear(m, sdk("s1"), 400)).toBe("FROZEN");
    const switched = commit(m, m.tick(at(400)), 400);
    expect(switched.event?.state).toMatchObject({
      gate: "CLOSED",
      phase: "SWITCHED",
      decision: { id: "d2", mode: "paper" },
    });
    expect(m.tick(at(450))).toBeNull();

    hear(m, sdk("s1"), 500);
    const opened = commit(m, m.tick(at(500)), 500);
    expect(opened.event?.state).toMatchObject({
      gate: "OPEN",
      phase: "UNFROZEN",
      fence: 2,
      requiredRevision: 4,
    });
    expect(opened.row.edges).toEqual(plan.postPromotionEdges);

    expect(hear(m, sdk("s1"), 600)).toBe("granted");
    const done = commit(m, m.tick(at(600)), 600);
    expect(done.run?.state).toBe("COMPLETED");
    expect(done.event).toBeNull();
  });

  test("a session that is refused a lease at the new revision does not hold up the end of a run", () => {
    const m = create();
    hear(m, sdk("s1"), 100);
    const idle: SessionClaim = { sessionId: "idle", kind: "sdk", scope: ["other"] };
    expect(hear(m, idle, 100)).toBe("NOT_ACTIVE");
    expect(hear(m, sdk("second"), 100)).toBe("NOT_EMITTER");
    order(m, apply(), 200);
    for (const ms of [300, 400]) {
      for (const claim of [sdk("s1"), idle, sdk("second")]) hear(m, claim, ms);
      commit(m, m.tick(at(ms)), ms);
    }

    expect(hear(m, sdk("s1"), 500)).toBe("granted");
    expect(m.tick(at(500))).toBeNull();
    expect(hear(m, idle, 510)).toBe("NOT_ACTIVE");
    expect(m.tick(at(510))).toBeNull();
    expect(hear(m, sdk("second"), 520, { revision: m.row.revision - 1 })).toBe("BEHIND");
    expect(m.tick(at(520))).toBeNull();
    expect(hear(m, sdk("second"), 530)).toBe("NOT_EMITTER");

    expect(commit(m, m.tick(at(530)), 530).run?.state).toBe("COMPLETED");
  });

  test("a silent session's lease is waited out, and it is left out of the switch", () => {
    const m = create();
    hear(m, sdk("s1"), 100);
    order(m, apply(), 200);

    expect(m.tick(at(100 + G - 1))).toBeNull();
    expect(commit(m, m.tick(at(100 + G)), 100 + G).kind).toBe("switch");
    expect(commit(m, m.tick(at(100 + G)), 100 + G).kind).toBe("unfreeze");
  });

  test("an acknowledgement of another fence, of an open gate, or with an order in flight does not count", () => {
    const m = create();
    hear(m, sdk("s1"), 100);
    order(m, apply(), 200);

    hear(m, sdk("s1"), 300, { fence: 1, revision: 1, gateShut: true });
    hear(m, sdk("s1"), 300, { gateShut: false });
    hear(m, sdk("s1"), 300, { inFlight: 1 });

    expect(m.tick(at(300))).toBeNull();
  });

  test("a NACK rolls back byte for byte, holds the world, and opens nothing", () => {
    const m = create();
    order(m, apply(), 200);
    commit(m, m.tick(at(210)), 210);
    const nack: Nack = {
      sessionId: "s1",
      heartbeatSeq: 1,
      revision: 3,
      fence: 2,
      runId: "r1",
      reason: "GAP",
      lastGoodRevision: 2,
    };
    m.nack({ ...sdk("watcher"), kind: "observer" }, nack);
    m.nack(sdk("s1"), { ...nack, fence: 1 });
    expect(m.memory.nackReason).toBeNull();

    m.nack(sdk("s1"), nack);
    const back = commit(m, m.tick(at(220)), 220);

    const { decision: d, activations, edges, policyVersion } = back.row;
    expect({ decision: d, activations, edges, policyVersion }).toEqual(back.run?.previous);
    expect(back.row).toMatchObject({ gate: "CLOSED", holds: ["rollback"], fence: 2 });
    expect(order(m, { kind: "resume", hold: "rollback", reason: "checked" }, 300).row.gate).toBe(
      "OPEN",
    );
  });

  test("a live session that never acknowledges the switch rolls the run back in time, and is named with its process", () => {
    const m = create();
    const claim = { ...sdk("s1"), origin: { process: "trader-3:4711", startMs: 86_400_000 } };
    hear(m, claim, 100);
    order(m, apply(), 200);
    hear(m, claim, 300);
    commit(m, m.tick(at(300)), 300);
    const ends = 300 + LIVE_TIMERS.switchAckMs;
    for (let ms = 1_000; ms < ends; ms += 1_000) hear(m, claim, ms, { revision: 2 });

    expect(m.tick(at(ends - 1))).toBeNull();
    expect(m.tick(at(ends))).toMatchObject({
      kind: "rollback",
      reason: "switch not acknowledged by s1 (trader-3:4711, since 1970-01-02T00:00:00.000Z)",
    });
  });

  test("an excluded session is neither waited for, nor heard, nor granted a lease", () => {
    const m = create();
    order(m, apply("r1", ["s1"]), 200);
    hear(m, sdk("s1"), 250, { fence: 1 });
    m.nack(sdk("s1"), {
      sessionId: "s1",
      heartbeatSeq: 1,
      revision: 2,
      fence: 2,
      runId: "r1",
      reason: "GAP",
      lastGoodRevision: 1,
    });

    expect(commit(m, m.tick(at(260)), 260).kind).toBe("switch");
    expect(commit(m, m.tick(at(260)), 260).kind).toBe("unfreeze");
    expect(hear(m, sdk("s1"), 300)).toBe("EXCLUDED");
  });

  test("the same run again is answered with its state; another one in flight is refused", () => {
    const m = create();
    order(m, apply(), 200);

    expect(m.command(apply(), at(210))).toMatchObject({
      kind: "repeat",
      run: { state: "FREEZING" },
    });
    const other = {
      kind: "apply",
      request: { runId: "r1", requestHash: "x", plan, excluded: [] },
    } as const;
    expect(m.command(other, at(210))).toEqual({ kind: "refuse", refusal: "RUN_ID_REUSED" });
    expect(m.command(apply("r2"), at(210))).toEqual({
      kind: "refuse",
      refusal: "APPLY_IN_PROGRESS",
    });
  });
});

describe("a session that takes its leave", () => {
  const leave = { release: true, wantLease: false, gateShut: true } as const;
  /** Moves on until the switch of a run waits for its members. */
  const switched = (m: GateMachine): GateMachine => {
    order(m, apply(), 300);
    hear(m, sdk("s1"), 310);
    expect(commit(m, m.tick(at(320)), 320).kind).toBe("switch");
    hear(m, sdk("s1"), 330);
    return m;
  };

  test("is not waited for, though it was heard a moment ago", () => {
    const m = create();
    hear(m, sdk("s1"), 100);
    hear(m, sdk("s2"), 100);
    hear(m, sdk("s2"), 200, leave);

    expect(commit(switched(m), m.tick(at(340)), 340).kind).toBe("unfreeze");
  });

  test("does not take it with an order in flight, and not for what it only stops to want", () => {
    for (const halted of [
      { ...leave, inFlight: 1 },
      { ...leave, release: false },
    ]) {
      const m = create();
      hear(m, sdk("s1"), 100);
      hear(m, sdk("s2"), 200, halted);

      expect(switched(m).tick(at(340))).toBeNull();
    }
  });

  test("is back with a later heartbeat, and not with an earlier one that comes late", () => {
    const m = create();
    hear(m, sdk("s1"), 100);
    const late = beat(m, { sessionId: "s2" });
    hear(m, sdk("s2"), 200, leave);
    m.heartbeat(sdk("s2"), late, at(210));
    expect(m.leases.registry.get("s2")?.hasEnded).toBe(true);

    hear(m, sdk("s2"), 220, { wantLease: false });

    expect(switched(m).tick(at(340))).toBeNull();
  });
});

describe("freeze and holds", () => {
  test("a manual freeze opens again only from CLOSED and when its hold is removed", () => {
    const m = create();
    hear(m, sdk("s1"), 100);
    order(m, { kind: "freeze", hold: "manual", reason: "look" }, 200);
    expect(m.command({ kind: "resume", hold: "manual", reason: "ok" }, at(210))).toEqual({
      kind: "refuse",
      refusal: "FREEZE_NOT_IN_FORCE",
    });
    expect(m.command(apply(), at(210))).toEqual({ kind: "refuse", refusal: "WORLD_HELD" });

    expect(commit(m, m.tick(at(100 + G)), 100 + G).row.gate).toBe("CLOSED");
    order(m, { kind: "freeze", hold: "breaker", reason: "drawdown" }, 6_000);
    expect(order(m, { kind: "resume", hold: "manual", reason: "ok" }, 6_100).row.gate).toBe(
      "CLOSED",
    );
    expect(order(m, { kind: "resume", hold: "breaker", reason: "ok" }, 6_200).row).toMatchObject({
      gate: "OPEN",
      fence: 3,
    });
  });

  test("a freeze during an apply rolls it back in the same transaction", () => {
    const m = create();
    order(m, apply(), 200);

    const frozen = order(m, { kind: "freeze", hold: "breaker", reason: "drawdown" }, 210);

    expect(frozen.run).toMatchObject({ state: "ROLLED_BACK" });
    expect(frozen.row).toMatchObject({
      fence: 3,
      holds: ["breaker", "rollback"],
      revision: 3,
      decision: { id: "d1" },
    });
  });
});

describe("grants", () => {
  test("stop from the proposal of a freeze, before its commit", () => {
    const m = create();
    const answer = m.command({ kind: "freeze", hold: "manual", reason: "look" }, at(100));
    expect(answer.kind).toBe("propose");

    expect(hear(m, sdk("s1"), 110)).toBe("FROZEN");
    expect(m.leases.registry.get("s1")?.aliveUntilMs).toBe(Number.NEGATIVE_INFINITY);
  });

  test("after an unknown outcome nothing is granted until the row is read", () => {
    const m = create();
    hear(m, sdk("s1"), 50);
    const answer = m.command({ kind: "refresh" }, at(100));
    if (answer.kind !== "propose") throw new Error();
    m.settle(answer.proposal, "unknown", at(110));

    expect(hear(m, sdk("s1"), 120)).toBe("NOT_LEADER");
    m.reread({ row: answer.proposal.row, run: null, emitters: m.stored().emitters }, at(130));
    expect(hear(m, sdk("s1"), 140)).toBe("granted");
  });

  test("a session below the required revision, with a wrong hash, or of an old fence gets none", () => {
    const m = create();
    const off = { activations: [{ ...activation, weight: 1, drain: true }] };
    order(m, { kind: "change", change: off, reason: "drain" }, 100);

    expect(hear(m, sdk("s1"), 200, { revision: 1, stateHash: "hash of 1" })).toBe("BEHIND");
    expect(hear(m, sdk("s1"), 200, { stateHash: "hash of 1" })).toBe("HASH_MISMATCH");
    expect(hear(m, sdk("s1"), 200, { fence: 0 })).toBe("BEHIND");
    expect(hear(m, sdk("s1"), 200)).toBe("granted");
  });

  test("end with the decision's time to live and with the leadership", () => {
    const m = create();
    expect(m.isRefreshDue(150_000)).toBe(false);
    hear(m, router, 150_000);
    expect(m.isRefreshDue(150_000)).toBe(true);

    expect(hear(m, router, 299_999)).toBe("granted");
    expect(hear(m, router, 300_000)).toBe("DECISION_EXPIRED");
    order(m, { kind: "refresh" }, 300_100);
    expect(hear(m, router, 300_200)).toBe("granted");
    m.setGrantUntil(300_300);
    expect(hear(m, router, 300_300)).toBe("NOT_LEADER");
  });

  test("a lowered weight stops the renewal of whoever has not applied it, from before it is committed", () => {
    const m = create();
    const old = { revision: m.row.revision, stateHash: hashState(gateStateOf(m.row)) };
    expect(hear(m, router, 100)).toBe("granted");
    const to = (weight: number): GateCommand => {
      const activations = [{ ...activation, weight }];
      return { kind: "change", change: { activations }, reason: "test" };
    };

    const lighter = m.command(to(0.25), at(200));
    if (lighter.kind !== "propose") throw new Error(lighter.kind);
    expect(hear(m, router, 210)).toBe("FROZEN");
    m.settle(lighter.proposal, "committed", at(220));

    expect(hear(m, router, 230, old)).toBe("BEHIND");
    expect(hear(m, router, 240)).toBe("granted");
    const required = m.row.requiredRevision;
    expect(required).toBe(m.row.revision);
    expect(order(m, to(1), 300).row.requiredRevision).toBe(required);
  });

  const free = { ...activation };
  const frozen = { ...activation, freeze: true };
  const drained = { ...activation, drain: true };
  const off = { ...activation, active: false };
  test.each([
    ["a side that is off gets less weight", off, { weight: 0.1 }, false],
    ["a side that is off is frozen", off, { freeze: true }, false],
    ["a side that is off is drained", off, { drain: true }, false],
    ["a side that is off gets a lower mode", off, { effectiveMode: "validate" as const }, false],
    ["a frozen side is drained as well", frozen, { drain: true }, false],
    ["a frozen side goes off", frozen, { active: false }, false],
    ["a frozen side gets less weight, which targets are sized by", frozen, { weight: 0.1 }, true],
    ["a frozen side is only drained", frozen, { freeze: false, drain: true }, false],
    ["a drained side is frozen", drained, { drain: false, freeze: true }, true],
    ["a drained side gets less weight", drained, { weight: 0.1 }, true],
    ["a drained side goes off", drained, { active: false }, true],
    ["a side that is on gets less weight", free, { weight: 0.1 }, true],
    ["a side that is on gets a lower mode", free, { effectiveMode: "validate" as const }, true],
    ["a side that is on gets more weight", { ...free, weight: 0.1 }, { weight: 1 }, false],
  ])("%s: whether everybody must apply it", (_, before, change, isRequired) => {
    const m = GateMachine.create({ ...row, activations: [before] }, ports, at(0));
    const content = { activations: [{ ...before, ...change }] };
    const { row: after } = order(m, { kind: "change", change: content, reason: "test" }, 100);

    expect(after.requiredRevision === after.revision).toBe(isRequired);
  });

  test("one emitter: another session waits for a clean release or G, the router is told who it is", () => {
    const m = create();
    expect(hear(m, sdk("s1"), 100)).toBe("granted");
    expect(hear(m, sdk("s2"), 200)).toBe("NOT_EMITTER");

    expect(hear(m, sdk("s1"), 300, { wantLease: false, gateShut: true })).toBe("NOT_ACTIVE");
    expect(hear(m, sdk("s2"), 400)).toBe("granted");
    expect(hear(m, sdk("s1"), 400 + G - 1)).toBe("NOT_EMITTER");
    const answer = m.heartbeat(router, beat(m, { sessionId: "router" }), at(450));
    expect(answer).toMatchObject({
      kind: "reply",
      reply: { emitterFor: new Map([["momentum", "s2"]]) },
    });
    expect(hear(m, sdk("s1"), 400 + G)).toBe("granted");
  });

  test("a router is told the last emitters while the gate is shut, by who leads; a runner is not", () => {
    const m = create();
    hear(m, sdk("s1"), 100);
    order(m, { kind: "freeze", hold: "manual", reason: "look" }, 200);
    const reply = (claim: SessionClaim, ms: number) => {
      const answer = m.heartbeat(claim, beat(m, { sessionId: claim.sessionId }), at(ms));
      return answer.kind === "reply" ? answer.reply : undefined;
    };

    const emitterFor = new Map([["momentum", "s1"]]);
    expect(reply(router, 300)).toMatchObject({ granted: false, refusal: "FROZEN", emitterFor });
    expect(reply(sdk("s1"), 300)).not.toHaveProperty("emitterFor");
    m.setGrantUntil(400);
    expect(reply(router, 400)).not.toHaveProperty("emitterFor");
  });

  test("while a takeover of the emitter is being committed, the old holder gets no grant", () => {
    const m = create();
    hear(m, sdk("s1"), 100);
    const claim = m.heartbeat(sdk("s2"), beat(m, { sessionId: "s2" }), at(100 + G));
    if (claim.kind !== "commit_first") throw new Error("no takeover");

    expect(hear(m, sdk("s1"), 110 + G)).toBe("NOT_EMITTER");
    m.settle(claim.proposal, "committed", at(120 + G));
    expect(hear(m, sdk("s2"), 130 + G)).toBe("granted");
  });

  test("a session whose strategy is free while another commit is open is answered after that", () => {
    const m = GateMachine.create(
      { ...row, activations: [activation, { ...activation, strategyId: "value" }] },
      ports,
      at(0),
    );
    const value: SessionClaim = { ...sdk("s2"), scope: ["value"] };
    const first = m.heartbeat(sdk("s1"), beat(m), at(100));
    if (first.kind !== "commit_first") throw new Error("no claim");

    const heartbeat = beat(m, { sessionId: "s2" });
    expect(m.heartbeat(value, heartbeat, at(110))).toMatchObject({
      kind: "reply",
      isEarly: true,
      reply: { granted: false, refusal: "NOT_EMITTER" },
    });
    m.settle(first.proposal, "committed", at(120));
    const again = m.heartbeat(value, heartbeat, at(130));
    expect(again).toMatchObject({ kind: "commit_first" });
    // A session that must wait for a clean release or G gets that answer, whatever is being committed.
    expect(m.heartbeat(sdk("s3"), beat(m, { sessionId: "s3" }), at(140))).toMatchObject({
      kind: "reply",
      isEarly: false,
      reply: { granted: false, refusal: "NOT_EMITTER" },
    });
  });

  test("raising the lease lifts G at once, lowering keeps the old G for one old G", () => {
    const m = create();
    expect(m.command({ kind: "set_lease", leaseMs: 3_000 }, at(90))).toEqual({
      kind: "refuse",
      refusal: "TIMERS_INVALID",
    });
    order(m, { kind: "set_lease", leaseMs: 8_000 }, 100);
    expect(m.row).toMatchObject({ leaseMs: 8_000, maxLeaseMs: 8_000 });

    order(m, { kind: "set_lease", leaseMs: 5_000 }, 200);
    expect(m.tick(at(8_199))).toBeNull();
    expect(commit(m, m.tick(at(8_200)), 8_200).row).toMatchObject({
      leaseMs: 5_000,
      maxLeaseMs: 5_000,
    });
  });
});

describe("recovery", () => {
  const crashed = (m: GateMachine, ms: number) =>
    GateMachine.recover(m.stored(), ports, at(ms), ms);

  test("FREEZING goes on after G of the new leadership, however empty its registry is", () => {
    const before = create();
    order(before, apply(), 200);
    const m = crashed(before, 1_000);

    expect(commit(m, m.tick(at(1_000)), 1_000)).toMatchObject({
      kind: "resume_run",
      run: { resumeCount: 1 },
      event: null,
    });
    expect(m.tick(at(1_000 + G - 1))).toBeNull();
    expect(m.tick(at(1_000 + G))).toMatchObject({ kind: "switch" });
  });

  test("SWITCHED collects heartbeats for G before it unfreezes, and waits for a live one that lacks it", () => {
    const before = create();
    order(before, apply(), 200);
    commit(before, before.tick(at(210)), 210);
    const m = crashed(before, 1_000);
    commit(m, m.tick(at(1_000)), 1_000);
    hear(m, sdk("s1"), 1_000 + G, { revision: 2 });

    expect(m.tick(at(1_000 + G))).toBeNull();
    hear(m, sdk("s1"), 1_001 + G);
    expect(m.tick(at(1_001 + G))).toMatchObject({ kind: "unfreeze" });
  });

  test("a fifth restart, or one past the deadline, rolls back", () => {
    let m = create();
    order(m, apply(), 200);
    for (let n = 1; n <= 4; n++) {
      m = crashed(m, 1_000 * n);
      commit(m, m.tick(at(1_000 * n)), 1_000 * n);
      expect(m.run?.resumeCount).toBe(n);
    }
    expect(crashed(m, 5_000).tick(at(5_000))).toMatchObject({
      kind: "rollback",
      reason: "resumed too often",
    });

    const late = create();
    order(late, apply(), 200);
    const ends = 200 + LIVE_TIMERS.freezeTimeoutMs;
    expect(crashed(late, ends).tick(at(ends))).toMatchObject({
      kind: "rollback",
      reason: "deadline passed",
    });
  });

  test("an open world serves at once; a freeze right after needs G; the stored emitter keeps its strategy", () => {
    const before = create();
    hear(before, sdk("s1"), 100);
    const m = crashed(before, 1_000);

    expect(hear(m, sdk("s2"), 1_100)).toBe("NOT_EMITTER");
    expect(hear(m, sdk("s1"), 1_100)).toBe("granted");
    order(m, { kind: "freeze", hold: "manual", reason: "look" }, 1_200);
    hear(m, sdk("s1"), 1_300);
    expect(m.tick(at(1_000 + G - 1))).toBeNull();
    expect(m.tick(at(1_000 + G))).toMatchObject({ kind: "close" });
  });
});
