import { describe, expect, test } from "vitest";
import {
  type BarrierInput,
  type BarrierState,
  barrierStep,
  isSettledAt,
  takeBarrier,
} from "./barrier.ts";
import { openSwap, type SwapInput, swapStep } from "./swap.ts";

const at = (runners: string[], logRow = 4): BarrierState =>
  takeBarrier(
    { logRow, untilMs: null, runners: runners.map((sessionId) => ({ sessionId, fromRow: 0 })) },
    2_000,
    0,
  );
const publish = (row: number, timeMs = row): BarrierInput => ({
  kind: "publish",
  row: { row, toRow: row, timeMs },
});
const ended = (sessionId: string, row: number, nowMs = 0): BarrierInput => ({
  kind: "ended",
  sessionId,
  row,
  nowMs,
});

function play(state: BarrierState, ...inputs: BarrierInput[]) {
  let barrier = state;
  const out: string[] = [];
  for (const input of inputs) {
    const step = barrierStep(barrier, input);
    barrier = step.state;
    for (const e of step.effects)
      out.push(e.kind === "dropped" ? `dropped ${e.sessionId}` : `${e.kind} ${e.row.row}`);
  }
  return { barrier, out };
}

describe("replay barrier", () => {
  test("a row waits until every runner has ended the one before it", () => {
    const { barrier, out } = play(
      at(["a", "b"]),
      publish(5),
      ended("a", 4),
      ended("b", 3),
      ended("b", 4),
    );

    expect(out).toEqual(["pass 5"]);
    expect(isSettledAt(barrier, 4)).toBe(true);
    expect(isSettledAt(barrier, 5)).toBe(false);
  });

  test("a new owner knows no ends: it waits for each runner to speak or to be silent", () => {
    const heard: BarrierInput = { kind: "heartbeat", sessionId: "a", nowMs: 1_500 };
    const first = play(at(["a", "b"]), publish(5), heard, { kind: "tick", nowMs: 2_000 });
    expect(first.out).toEqual(["dropped b"]);

    expect(play(first.barrier, ended("a", 4, 2_100)).out).toEqual(["pass 5"]);
  });

  test("no row later than until passes, and until moves forward only", () => {
    const held = { ...at([]), untilMs: 10 };
    const { barrier, out } = play(held, publish(5, 11), { kind: "advance", untilMs: 9 });
    expect(out).toEqual([]);
    expect(barrier.untilMs).toBe(10);

    expect(play(barrier, { kind: "advance", untilMs: 11 }).out).toEqual(["pass 5"]);
  });

  test("a repeated publish replaces the held one, an old row passes to the log, a far one is refused", () => {
    const { out } = play(at(["a"]), publish(5), publish(5), publish(3), publish(7), ended("a", 4));

    expect(out).toEqual(["pass 3", "refuse 7", "pass 5"]);
  });

  test("a runner that has to state its end again holds the next row until it does", () => {
    const restate: BarrierInput = { kind: "restate", sessionIds: ["a", "gone"] };
    const { barrier, out } = play(
      at(["a", "b"]),
      ended("a", 4),
      ended("b", 4),
      restate,
      publish(5),
    );
    expect(out).toEqual([]);
    expect(isSettledAt(barrier, 4)).toBe(false);

    expect(play(barrier, ended("a", 4)).out).toEqual(["pass 5"]);
  });

  test("a joiner is counted from its first row on", () => {
    const joined: BarrierInput = { kind: "runner_joined", sessionId: "a", fromRow: 5, nowMs: 0 };

    expect(play(at([]), joined, publish(5)).out).toEqual(["pass 5"]);
    expect(play(at([]), joined, { kind: "row_effective", row: 5 }, publish(6)).out).toEqual([]);
  });
});

describe("promotion", () => {
  const drive = (inputs: SwapInput[], runners = ["a", "b"]) => {
    let state = openSwap(["k"], runners, 10);
    const out: string[] = [];
    for (const input of inputs) {
      const step = swapStep(state, input);
      state = step.state;
      for (const e of step.effects) out.push("fromRow" in e ? `${e.kind} ${e.fromRow}` : e.kind);
    }
    return { state, out };
  };
  const warm: SwapInput = { kind: "key_warm", key: "k", row: 8 };
  const ack = (sessionId: string, endedRow: number, fromRow = 12): SwapInput => ({
    kind: "ack",
    sessionId,
    fromRow,
    endedRow,
  });

  test("warm keys prepare two rows ahead, and all answers commit the row they are split at", () => {
    const { state, out } = drive([warm, ack("a", 10), ack("b", 11), { kind: "committed" }]);

    expect(out).toEqual(["prepare 12", "commit 12"]);
    expect(state).toMatchObject({ phase: "COMMITTED", fromRow: 12 });
  });

  test("a runner that is warm beyond the log, from the file of a feed that has not begun, is given a row ahead of it", () => {
    const out: string[] = [];
    let state = openSwap(["a"], ["a"], -1);
    for (const input of [{ kind: "key_warm", key: "a", row: 199 } as const, ack("a", -1, 201)]) {
      const step = swapStep(state, input);
      state = step.state;
      for (const e of step.effects) out.push("fromRow" in e ? `${e.kind} ${e.fromRow}` : e.kind);
    }

    expect(out).toEqual(["prepare 201", "commit 201"]);
  });

  test("a runner that is already past from_row makes it later, and earlier answers do not count", () => {
    const { out } = drive([warm, ack("a", 10), ack("b", 12), ack("a", 10, 14), ack("b", 12, 14)]);

    expect(out).toEqual(["prepare 12", "prepare 14", "commit 14"]);
  });

  test("an abort before the commit leaves the old context, after it changes nothing", () => {
    const abort: SwapInput = { kind: "abort", reason: "cancelled" };
    expect(drive([warm, abort, ack("a", 10)]).state.phase).toBe("ABORTED");

    const committed = drive([warm, ack("a", 10), ack("b", 10), abort, { kind: "committed" }]);
    expect(committed.state.phase).toBe("COMMITTED");
    const passed = (sessionId: string): SwapInput => ({
      kind: "runner_passed",
      sessionId,
      row: 12,
    });
    expect(
      drive([
        warm,
        ack("a", 10),
        ack("b", 10),
        { kind: "committed" },
        passed("a"),
        passed("b"),
      ]).out.at(-1),
    ).toBe("release_old");
  });

  test("a lost runner is not waited for", () => {
    expect(drive([warm, ack("a", 10), { kind: "runner_lost", sessionId: "b" }]).out).toEqual([
      "prepare 12",
      "commit 12",
    ]);
  });
});
