import { describe, expect, test } from "vitest";
import { parsePolicy } from "./parse-policy.ts";
import { PolicyError, type PolicyProblem } from "./policy-problem.ts";

const demo = `metrics_from: {enter_paper: backtest, stay_paper: dryrun}
min_samples: 60
thresholds:
  drawdown:  {metric: max_drawdown_ratio, max: 0.25}
  shortfall: {metric: sharpe_shortfall, max: 3}
hysteresis:  {metric: sharpe, enter: 0.4, exit: -4}
position_policy: {on_demote: keep}
max_lag: 36h
`;

function problemsOf(text: string): readonly PolicyProblem[] {
  try {
    parsePolicy(text);
  } catch (error) {
    if (error instanceof PolicyError) return error.problems;
    throw error;
  }
  return [];
}

test("the demo's policy reads as written", () => {
  const policy = parsePolicy(demo);

  expect(policy.minSamples).toBe(60);
  expect(policy.thresholds.map((t) => [t.name, t.metric, t.max])).toEqual([
    ["drawdown", "max_drawdown_ratio", 0.25],
    ["shortfall", "sharpe_shortfall", 3],
  ]);
  expect(policy.hysteresis).toEqual({ metric: "sharpe", enter: 0.4, exit: -4 });
  expect(policy.metricsFrom.stayLive).toBe("live");
  expect(policy.onDemote).toBe("keep");
  expect(policy.maxLagSeconds).toBe(36 * 3600);
});

test("an empty policy is all defaults and lets everybody through", () => {
  expect(parsePolicy("")).toMatchObject({ minSamples: 60, thresholds: [], topK: undefined });
});

describe("each problem names its line and column", () => {
  test.each([
    ["an unknown key", "min_samples: 60\nthreshold: {}\n", "POLICY_INVALID", 2, 1],
    ["an unknown metric", "thresholds:\n  x: {metric: sharp, min: 1}\n", "METRIC_UNKNOWN", 2, 15],
    [
      "a bound that never binds",
      "thresholds:\n  d: {metric: max_drawdown_ratio, max: 1.5}\n",
      "BOUND_NEVER_BINDS",
      2,
      40,
    ],
    [
      "a bound nothing can meet",
      "thresholds:\n  d: {metric: win_ratio, min: 2}\n",
      "BOUND_NEVER_BINDS",
      2,
      31,
    ],
    [
      "entry by returns that nobody has before it",
      "metrics_from: {enter_paper: dryrun}\n",
      "BOUND_NEVER_BINDS",
      1,
      29,
    ],
    ["a wrong type", "min_samples: soon\n", "POLICY_INVALID", 1, 14],
    ["k of zero", "top_k:\n  metric: sharpe\n  k: 0\n", "POLICY_INVALID", 3, 6],
    [
      "exit above enter",
      "hysteresis: {metric: sharpe, enter: 0, exit: 1}\n",
      "POLICY_INVALID",
      1,
      13,
    ],
    ["a missing bound", "thresholds:\n  x: {metric: sharpe}\n", "POLICY_INVALID", 2, 6],
    ["a key used twice", "min_samples: 60\nmin_samples: 61\n", "POLICY_INVALID", 2, 1],
    ["text that is no YAML", "thresholds: {a\n", "POLICY_INVALID", 2, 1],
    [
      "an unknown stage",
      "thresholds:\n  x: {metric: sharpe, min: 1, at: [papier]}\n",
      "POLICY_INVALID",
      2,
      36,
    ],
  ])("%s", (_, text, reason, line, column) => {
    expect(problemsOf(text)[0]).toMatchObject({ reason, line, column });
  });
});

test("the full form is refused by name", () => {
  const [problem] = problemsOf("min_samples: 60\nselection:\n  gates: {}\n");

  expect(problem?.reason).toBe("POLICY_INVALID");
  expect(problem?.message).toContain("full form, which is not implemented yet");
  expect(problem?.line).toBe(3);
});

test("several problems come together", () => {
  expect(problemsOf("min_samples: 1\nmax_lag: never\ntop_k: {k: 2}\n")).toHaveLength(3);
});

test.each([
  ["lists that are not closed", "a: ".concat("[".repeat(20_000))],
  ["lists", `a: ${"[".repeat(20_000)}${"]".repeat(20_000)}`],
  ["block lists", `a:\n  ${"- ".repeat(20_000)}1`],
])("%s within each other without end are told as that", (_, text) => {
  expect(problemsOf(text).map(({ message }) => message)).toEqual([
    "the document is nested too deeply",
  ]);
});
