import { readFileSync } from "node:fs";
import { findMetric, type Metric } from "@qmtl/core/metrics";
import { describe, expect, test } from "vitest";
import { type Candidate, evaluatePolicy } from "./evaluate-policy.ts";
import { parsePolicy } from "./parse-policy.ts";
import { PolicyError } from "./policy-problem.ts";

interface PolicyCase {
  id: string;
  name: string;
  input: {
    metrics: Record<string, Record<string, number>>;
    policy: Record<string, unknown>;
    previous: string[] | null;
    correlations?: [string, string, number][];
  };
  expected: string[] | { error: string };
}

const file = new URL("../../../../e2e/vectors/policy.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: PolicyCase[] };

/** The vectors name metrics of their own. */
const anyMetric = (name: string): Metric => ({ ...findMetric("sharpe")!, name }) as Metric;

describe("golden cases of the short form", () => {
  test.each(cases.map((c) => [`${c.id} ${c.name}`, c] as const))("%s", (_, { input, expected }) => {
    const document = JSON.stringify(input.policy);
    if (!Array.isArray(expected)) {
      expect(() => parsePolicy(document, anyMetric)).toThrow(PolicyError);
      return;
    }
    const policy = parsePolicy(document, anyMetric);
    const candidates = Object.entries(input.metrics).map(([strategyId, metrics]): Candidate => {
      const as = input.previous?.includes(strategyId) ? "hold" : "enter";
      return { strategyId, as, metrics: new Map(Object.entries(metrics)) };
    });
    const correlationOf = (a: string, b: string) =>
      input.correlations?.find(([x, y]) => [x, y].sort().join() === [a, b].sort().join())?.[2];

    const outcome = evaluatePolicy(policy, candidates, correlationOf);

    expect(outcome.selected).toEqual(expected);
  });
});

test("a verdict says value, sign and bound as people write them", () => {
  const policy = parsePolicy("thresholds: {shortfall: {metric: sharpe_shortfall, max: 3}}");
  const metrics = new Map([["sharpe_shortfall", 9.0312]]);

  const outcome = evaluatePolicy(policy, [{ strategyId: "c", as: "hold", metrics }]);

  expect(outcome.verdicts.get("c")?.[0]?.text).toBe("shortfall 9.03 > 3");
});

test("two decimals never hide a verdict", () => {
  const policy = parsePolicy("thresholds: {shortfall: {metric: sharpe_shortfall, max: 3}}");
  const metrics = new Map([["sharpe_shortfall", 3.0004]]);

  const outcome = evaluatePolicy(policy, [{ strategyId: "c", as: "hold", metrics }]);

  expect(outcome.verdicts.get("c")?.[0]?.text).toBe("shortfall 3.0004 > 3");
});

test("an undefined ratio fails who wants in and is not yet judged for who holds", () => {
  const policy = parsePolicy("hysteresis: {metric: sharpe, enter: 0.4, exit: -4}");
  const base = { metrics: new Map<string, number>() };

  const outcome = evaluatePolicy(policy, [
    { ...base, strategyId: "new", as: "enter" },
    { ...base, strategyId: "old", as: "hold", mayBeUndefined: true },
  ]);

  expect(outcome.selected).toEqual(["old"]);
  expect(outcome.verdicts.get("old")?.[0]?.verdict).toBe("not_yet_judged");
  expect(outcome.verdicts.get("new")?.[0]?.text).toContain("missing");
});
