import { describe, expect, test } from "vitest";
import type { Stage } from "../policy/policy.ts";
import type { SeriesHead, WorldRow } from "../store/world-rows.ts";
import type { SharedBinding } from "../world/shares-in-force.ts";
import { composeDecision, type DecisionInputs } from "./compose-decision.ts";

const dayMs = 86_400_000;

const world: WorldRow = {
  settings: {
    worldId: "w",
    displayName: "",
    clock: "wall",
    source: "",
    accountId: "",
    allowLive: true,
    maxLagSeconds: 2 * 86_400,
    decisionTtlSeconds: 300,
    onDemote: "flat",
    onLeaseLost: "cancel_opening",
    reduceOnlyWhenShut: false,
    cancelProtective: false,
    paperTimers: {},
    liveTimers: {},
  },
  version: 1,
  stage: "live",
  policyVersion: 0,
  allocation: 1,
  watermarkMs: null,
  createdMs: 0,
};

function binding(stage: Stage): SharedBinding {
  const fixed = {
    strategyId: "a",
    strategyName: "a",
    share: 1,
    ownShare: 1,
    demotedFrom: [],
    picked: null,
  };
  return { ...fixed, stage, removed: false, boundOrder: 0, createdMs: 0 };
}

function facts(more: Partial<DecisionInputs> = {}): DecisionInputs {
  return {
    world,
    bindings: [binding("live")],
    policy: undefined,
    hasBreaker: false,
    nowMs: 10 * dayMs,
    headOf: head(100, 9 * dayMs),
    ...more,
  };
}

function head(
  intervals: number,
  dataEndMs: number,
  ruinedMs: number | null = null,
): DecisionInputs["headOf"] {
  return (strategyId, domain): SeriesHead => {
    const kind = { intervalSeconds: 86_400, periodsPerYear: 252, fromMs: 0, toMs: dataEndMs };
    return { strategyId, domain, samples: 5_000, intervals, ruinedMs, dataEndMs, ...kind };
  };
}

function bindingTerms(more: Partial<DecisionInputs>): readonly [string, string[]] {
  const [strategy] = composeDecision(facts(more)).strategies;
  const names = strategy?.terms.filter((t) => t.binding).map((t) => t.name) ?? [];
  return [strategy?.mode ?? "none", names];
}

describe("the lowest term binds and is named", () => {
  const closed = { ...world, settings: { ...world.settings, allowLive: false } };
  test.each<[string, Partial<DecisionInputs>, string, string[]]>([
    ["world stage", { world: { ...world, stage: "paper" } }, "paper", ["world_stage"]],
    ["strategy stage", { bindings: [binding("paper")] }, "paper", ["strategy_stage"]],
    ["old data", { nowMs: 12 * dayMs }, "compute-only", ["data_currency"]],
    ["too few samples", { headOf: head(59, 9 * dayMs) }, "validate", ["samples"]],
    ["nothing left", { headOf: head(100, 9 * dayMs, dayMs) }, "validate", ["samples"]],
    ["live not allowed", { world: closed }, "paper", ["allow_live"]],
    ["a breaker", { hasBreaker: true }, "compute-only", ["breaker"]],
  ])("%s", (_, more, mode, terms) => {
    expect(bindingTerms(more)).toEqual([mode, terms]);
  });
});

test("data exactly as old as allowed are current", () => {
  expect(bindingTerms({ nowMs: 11 * dayMs })[0]).toBe("live");
});

test("while no feed has reported, nothing rises above paper", () => {
  expect(bindingTerms({ nowMs: undefined })).toEqual(["paper", ["data_currency"]]);
  expect(bindingTerms({ headOf: head(100, 0) })).toEqual(["paper", ["data_currency"]]);
});

test("nothing selected means validate, and says so", () => {
  const decision = composeDecision(facts({ bindings: [binding("validate")] }));

  expect(decision.mode).toBe("validate");
  expect(decision.strategies).toEqual([]);
  expect(decision.reason).toContain("bound by nothing_selected");
});
