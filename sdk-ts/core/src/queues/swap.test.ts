import { describe, expect, test } from "vitest";
import { openSwap, type SwapInput, swapStep } from "./swap.ts";

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
