import { describe, expect, test } from "vitest";
import { PolicyError } from "../policy/policy-problem.ts";
import { parseGatingPolicy, promotionEdges } from "./gating-policy.ts";

const good = `dataset_fingerprint: "lake:abc"
share_policy: feature-artifacts-only
snapshot: {strategy_plane: cow, feature_plane: readonly}
edges:
  pre_promotion: {disable_edges_to: [live]}
  post_promotion: {enable_edges_to: [dryrun]}
observability: {slo: {cross_context_cache_hit: 0}}
`;

function complaint(text: string): string {
  try {
    parseGatingPolicy(text);
  } catch (error) {
    if (error instanceof PolicyError) return error.message;
    throw error;
  }
  return "";
}

test("edges are cut from the freeze on and opened with the unfreeze, with the run in their reason", () => {
  const policy = parseGatingPolicy(good);
  const { pre, post } = promotionEdges([], policy, "r1");

  expect(pre).toEqual([
    {
      source: "domain:backtest",
      target: "domain:live",
      active: false,
      reason: "pre_promotion_disable:r1",
    },
  ]);
  expect(post.map((e) => [e.target, e.active])).toEqual([
    ["domain:dryrun", true],
    ["domain:live", false],
  ]);
});

test("without rules the edges stay as they are", () => {
  const edges = [{ source: "a", target: "b", active: true, reason: "" }];

  expect(promotionEdges(edges, undefined, "r1")).toEqual({ pre: edges, post: edges });
});

describe("refused, with line and column", () => {
  test.each([
    ["a missing fingerprint", good.replace(/^dataset.*\n/, ""), "dataset_fingerprint is missing"],
    ["another share policy", good.replace("feature-artifacts-only", "all"), "2:15 share_policy"],
    ["an unknown domain", good.replace("[live]", "[mars]"), "5:38"],
    ["a domain that is planned", good.replace("[live]", "[shadow]"), "5:38"],
    ["a cache hit above 0", good.replace("hit: 0", "hit: 1"), "must be 0"],
    ["an unknown key", `${good}extra: 1\n`, '8:1 unknown key "extra"'],
    ["rules that nobody would evaluate", `${good}risk_limits: {}\n`, "not implemented yet"],
  ])("%s", (_, text, message) => {
    expect(complaint(text)).toContain(message);
  });
});
