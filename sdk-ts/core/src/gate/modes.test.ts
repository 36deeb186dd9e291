import { describe, expect, test } from "vitest";
import { effectiveMode, isRestrictiveModeChange } from "./modes.ts";
import { checkTimers, LIVE_TIMERS, PAPER_TIMERS } from "./timers.ts";

describe("effective mode", () => {
  test("is the lowest term, and says which bound it", () => {
    const bound = effectiveMode([
      { name: "world_stage", mode: "live" },
      { name: "data_currency", mode: "compute-only" },
      { name: "strategy_stage", mode: "paper" },
    ]);

    expect(bound.mode).toBe("compute-only");
    expect(bound.reason).toContain("bound by data_currency");
  });

  test("is validate when nothing is selected, and never orders in a shadow world", () => {
    const shadow = { name: "world_stage", mode: "shadow" } as const;

    expect(effectiveMode([]).mode).toBe("validate");
    expect(effectiveMode([shadow, { name: "strategy_stage", mode: "live" }]).mode).toBe("shadow");
    expect(effectiveMode([shadow, { name: "data_currency", mode: "compute-only" }]).mode).toBe(
      "compute-only",
    );
    expect(effectiveMode([{ name: "data_currency", mode: "validate" }, shadow]).mode).toBe(
      "validate",
    );
  });

  test("lowering is restrictive, raising from compute-only is not", () => {
    expect(isRestrictiveModeChange("live", "paper")).toBe(true);
    expect(isRestrictiveModeChange("paper", "compute-only")).toBe(true);
    expect(isRestrictiveModeChange("compute-only", "paper")).toBe(false);
  });
});

describe("timers", () => {
  test("the defaults keep every rule", () => {
    expect(checkTimers(PAPER_TIMERS)).toEqual([]);
    expect(checkTimers(LIVE_TIMERS, { isLive: true })).toEqual([]);
  });

  test.each([
    [{ leaseMs: 500 }, "leaseMs"],
    [{ renewMs: 2_000 }, "renewMs"],
    [{ marginMs: 350 }, "marginMs"],
    [{ freezeTimeoutMs: 14_000 }, "freezeTimeoutMs"],
    [{ sessionDeadMs: 5_000 }, "sessionDeadMs"],
    [{ leaderMs: Number.NaN }, "leaderMs"],
  ] as const)("a configuration with %j is refused by %s", (change, timer) => {
    const broken = checkTimers({ ...LIVE_TIMERS, ...change }, { isLive: true });

    expect(broken.map((rule) => rule.timer)).toContain(timer);
  });

  test("a live lease above 5 s needs the operator's signature", () => {
    const long = { ...PAPER_TIMERS };

    expect(checkTimers(long, { isLive: true }).map((r) => r.timer)).toContain("leaseMs");
    expect(checkTimers(long, { isLive: true, isLongLiveLeaseSigned: true })).toEqual([]);
  });
});
