import { describe, expect, test } from "vitest";
import { holderStep } from "./holder.ts";
import {
  type HolderEffect,
  type HolderInput,
  type HolderState,
  startHolder,
  usableUntil,
  windowRoom,
} from "./holder-state.ts";
import { type Candidate, NodeLeaseTable } from "./node-lease.ts";
import type { QueueRecord } from "./queue-record.ts";
import { checkQueueTimers, QUEUE_TIMERS } from "./queue-timers.ts";

function drive(
  state: HolderState,
  ...inputs: HolderInput[]
): { state: HolderState; effects: HolderEffect[] } {
  const effects: HolderEffect[] = [];
  let at = state;
  for (const input of inputs) {
    const step = holderStep(at, input);
    at = step.state;
    effects.push(...step.effects);
  }
  return { state: at, effects };
}
const seen = (record: QueueRecord, nowMs = 0): HolderInput => ({ kind: "record", record, nowMs });
const granted: HolderInput = { kind: "granted", epoch: 2, usableUntilMs: 9_000, nowMs: 0 };
const produced = (row: number, nowMs = 10): HolderInput => ({
  kind: "produced",
  record: { kind: "ROW", row, rev: 0, knownAtMs: 0 },
  nowMs,
});
const old: QueueRecord = { kind: "ROW", epoch: 1, seq: 0, row: 0, rev: 0, knownAtMs: 0 };
const history = [seen({ kind: "START", epoch: 1 }), seen(old)];
const mine: QueueRecord = { kind: "START", epoch: 2 };
const row = (seq: number): QueueRecord => ({
  kind: "ROW",
  epoch: 2,
  seq,
  row: seq,
  rev: 0,
  knownAtMs: 0,
});

const holding = (windowMax = 64): HolderState =>
  drive(startHolder(windowMax), ...history, granted, seen(mine), { kind: "restored", nowMs: 0 })
    .state;

describe("takeover", () => {
  test("a grant appends START, again each resend time, and takes the position only from its own START", () => {
    const claimed = drive(startHolder(64), ...history, granted);
    expect(claimed.effects).toEqual([{ kind: "append_start", epoch: 2 }]);
    expect(drive(claimed.state, { kind: "timer", nowMs: 1_000 }).effects).toEqual([
      { kind: "append_start", epoch: 2 },
    ]);

    // A record of the old holder lands in between: it is effective and part of what is restored.
    const late = seen({ ...old, seq: 1, row: 1 });
    const restoring = drive(claimed.state, late, seen(mine));
    expect(restoring.effects).toEqual([{ kind: "restore", seq: 2, nextRow: 2 }]);
    expect(restoring.state.phase).toBe("RESTORING");
  });

  test("a higher epoch sends it back to waiting from any phase, and local results are dropped", () => {
    const fenced = seen({ kind: "START", epoch: 3 });
    const { state, effects } = drive(holding(), produced(1), fenced);

    expect(state).toMatchObject({ phase: "WAITING", window: [] });
    expect(effects.slice(1)).toEqual([{ kind: "drop_local", fromSeq: 1 }, { kind: "acquire" }]);
    expect(drive(startHolder(64), granted, fenced).state.phase).toBe("WAITING");
  });

  test("a difference while restoring publishes nothing and excludes the build", () => {
    const restoring = drive(startHolder(64), ...history, granted, seen(mine)).state;
    const { state, effects } = drive(
      restoring,
      { kind: "diverged", row: 0, localHash: "a", logHash: "b" },
      granted,
    );

    expect(state.phase).toBe("DIVERGED");
    expect(effects).toEqual([
      {
        kind: "release_lease",
        epoch: 2,
        reason: "diverged",
        divergence: { row: 0, localHash: "a", logHash: "b" },
      },
      { kind: "subscribe" },
    ]);
  });
});

describe("holding", () => {
  test("records go out in seq order while the window allows, and leave it when seen effective", () => {
    const full = drive(holding(2), produced(1), produced(2), produced(3));
    expect(full.effects).toHaveLength(2);
    expect(windowRoom(full.state, 10)).toBe(0);

    const moved = drive(full.state, seen(row(1), 20));
    expect(windowRoom(moved.state, 20)).toBe(1);
    expect(drive(moved.state, produced(3)).effects).toEqual([{ kind: "send", records: [row(3)] }]);
  });

  test("without progress for the resend time the window is sent again; past the usable time nothing is", () => {
    const { state } = drive(holding(), produced(1), produced(2));

    expect(drive(state, { kind: "timer", nowMs: 500 }).effects).toEqual([]);
    expect(drive(state, { kind: "timer", nowMs: 1_010 }).effects).toEqual([
      { kind: "send", records: [row(1), row(2)] },
    ]);
    expect(drive(state, { kind: "timer", nowMs: 9_000 }).effects).toEqual([]);
    const renewed: HolderInput = { kind: "renewed", epoch: 2, usableUntilMs: 20_000 };
    expect(drive(state, renewed, { kind: "timer", nowMs: 9_000 }).effects).toHaveLength(1);
  });

  test("a record whose lease ran out while it was computed waits in the window, and goes out once it is renewed", () => {
    const { state, effects } = drive(holding(), produced(1, 9_000));
    expect(effects).toEqual([]);
    expect(state.window).toEqual([row(1)]);
    expect(windowRoom(state, 9_000)).toBe(0);

    const renewed: HolderInput = { kind: "renewed", epoch: 2, usableUntilMs: 20_000 };
    expect(drive(state, renewed, { kind: "timer", nowMs: 10_000 }).effects).toEqual([
      { kind: "send", records: [row(1)] },
    ]);
  });

  test("a clean release waits for the window, then stores a snapshot and releases", () => {
    const asked = drive(holding(), produced(1), { kind: "release", nowMs: 20 }, produced(2));
    expect(asked.effects).toHaveLength(1);

    const done = drive(asked.state, seen(row(1), 30));
    expect(done.effects.map((e) => e.kind)).toEqual([
      "store_snapshot",
      "release_lease",
      "subscribe",
    ]);
    expect(
      drive(asked.state, { kind: "timer", nowMs: 1_020 }).effects.map((e) => e.kind),
    ).toContain("release_lease");
  });

  test("usable time counts from before the request", () => {
    expect(usableUntil(1_000, 10_000, 1_000)).toBe(10_000);
    expect(checkQueueTimers(QUEUE_TIMERS)).toEqual([]);
    expect(checkQueueTimers({ ...QUEUE_TIMERS, nodeRenewMs: 4_000 })).toHaveLength(1);
  });
});

describe("node leases at their owner", () => {
  const candidate = (sessionId: string, build = "b1"): Candidate => ({
    sessionId,
    build,
    reachesUpstreams: true,
    hasUpstreamsLocally: false,
  });
  const table = (rows: ConstructorParameters<typeof NodeLeaseTable>[0] = []) =>
    new NodeLeaseTable(rows, { leaseMs: 10_000, leadershipBeganAtMs: 0 });
  function grant(t: NodeLeaseTable, nowMs: number) {
    const proposal = t.proposeGrant("k", nowMs);
    if (proposal !== null) t.settle(proposal, "committed", nowMs);
    return proposal?.row;
  }

  test("a vacant key goes to the longest waiting candidate, each time with a higher epoch", () => {
    const t = table();
    t.acquire("k", candidate("a"), 1);
    t.acquire("k", candidate("b"), 2);

    expect(grant(t, 10)).toMatchObject({ epoch: 1, sessionId: "a" });
    expect(grant(t, 10_009)).toBeUndefined();
    expect(grant(t, 10_010)).toMatchObject({ epoch: 2, sessionId: "b" });
    expect(t.renew("k", { sessionId: "a", epoch: 1 }, 10_011)).toEqual({
      renewed: false,
      currentEpoch: 2,
    });
  });

  test("a lapsed lease whose epoch is still the last one is renewed", () => {
    const t = table();
    t.acquire("k", candidate("a"), 1);
    grant(t, 10);

    expect(t.renew("k", { sessionId: "a", epoch: 1 }, 50_000)).toEqual({
      renewed: true,
      aliveUntilMs: 60_000,
    });
  });

  test("after an unknown outcome nothing happens until the row is read; no epoch is issued twice", () => {
    const t = table();
    t.acquire("k", candidate("a"), 1);
    t.acquire("k", candidate("b"), 2);
    const proposal = t.proposeGrant("k", 10)!;
    t.settle(proposal, "unknown", 11);

    expect(t.proposeGrant("k", 99_999)).toBeNull();
    t.reread(proposal.row, 20);
    expect(grant(t, 10_019)).toBeUndefined();
    expect(grant(t, 10_020)?.epoch).toBe(2);
  });

  test("after a restart the stored holder renews at once, nobody new is served for one lease", () => {
    const t = table([
      { key: "k", epoch: 7, sessionId: "a", build: "b1", excluded: [], isClosed: false },
    ]);
    t.acquire("k", candidate("b"), 1);

    expect(grant(t, 9_999)).toBeUndefined();
    expect(t.renew("k", { sessionId: "a", epoch: 7 }, 5).renewed).toBe(true);
    expect(grant(t, 10_000)).toBeUndefined();
    expect(grant(t, 10_005)).toMatchObject({ epoch: 8, sessionId: "b" });
  });

  test("a diverged release excludes the build; the same build is preferred otherwise", () => {
    const t = table();
    t.acquire("k", candidate("a"), 1);
    grant(t, 1);
    t.acquire("k", candidate("c", "b2"), 2);
    t.acquire("k", candidate("b"), 3);
    expect(t.proposeRelease("k", { sessionId: "x", epoch: 1 }, "clean")).toBeNull();
    t.settle(t.proposeRelease("k", { sessionId: "a", epoch: 1 }, "diverged")!, "committed", 5);

    expect(grant(t, 5)).toMatchObject({ sessionId: "c", epoch: 2, excluded: ["b1"] });
    expect(t.acquire("k", candidate("b"), 6)).toBe(false);
  });

  test("after a restored backup epochs start above the floor", () => {
    const t = new NodeLeaseTable([], {
      leaseMs: 10_000,
      leadershipBeganAtMs: 0,
      epochFloor: 1_000,
    });
    t.acquire("k", candidate("a"), 1);

    expect(grant(t, 1)?.epoch).toBe(1_001);
  });
});
