import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { RuleUse, RuleVerdict } from "@qmtl/contracts/qmtl/world/v1/decision_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { document, goodSeries, reasonOf, refusalOf, WireWorlds } from "../testing/wire-worlds.ts";

let all: WireWorlds;
beforeAll(async () => {
  all = await WireWorlds.open();
});
afterAll(() => all[Symbol.asyncDispose]());

describe("returns", () => {
  const report = (returns: object, role: "researcher" | "gateway" = "researcher") =>
    all.wire
      .as(role)
      .client(DecisionService)
      .reportReturns({
        worldId,
        returns: [{ strategyId: "a", series: { ...goodSeries, ...returns } }],
      });
  let worldId: string;
  beforeAll(async () => {
    worldId = await all.make("a");
  });

  test("of a backtest come from a researcher, those of paper and the watermark from a gateway alone", async () => {
    const paper = {
      domain: ExecutionDomain.DRYRUN,
      returns: [0.1, 0.2],
      bucketEndMs: [1_000, 2_000],
      exposed: [true, false],
    };
    expect((await report({})).samples).toEqual([100]);
    expect(await reasonOf(report(paper))).toBe("ROLE_REQUIRED");
    const watermark = all.wire
      .as("researcher")
      .client(DecisionService)
      .reportReturns({ worldId, watermarkTime: timestampFromMs(1) });
    expect(await reasonOf(watermark)).toBe("ROLE_REQUIRED");
    expect((await report(paper, "gateway")).samples).toEqual([2]);
    expect((await report(paper, "gateway")).samples).toEqual([2]);
  });

  test("without a value are left out, where the bucket is known", async () => {
    const gaps = { returns: [0.1, Number.NaN, 0.3] };
    const dated = { ...gaps, bucketEndMs: [1_000, 2_000, 3_000], exposed: [true, true, false] };
    expect((await report(dated)).samples).toEqual([2]);
    expect(await refusalOf(report(gaps))).toEqual({
      reason: "SERIES_INVALID",
      fields: ["returns[0].series.bucket_end_ms"],
    });
  });

  test.each([
    ["interval", { interval: durationFromMs(1_500) }],
    ["interval", { interval: durationFromMs(-1_000) }],
    ["bucket_end_ms", { returns: [0.1, 0.2], bucketEndMs: [2_000, 1_000] }],
    ["bucket_end_ms", { returns: [0.1, 0.2], bucketEndMs: [1_000] }],
    ["bucket_end_ms", { returns: [0.1], bucketEndMs: [0.5] }],
    ["exposed", { returns: [0.1, 0.2], exposed: [true] }],
    ["returns", { returns: [Number.POSITIVE_INFINITY] }],
  ])("with a wrong %s are refused and replace nothing", async (field, wrong) => {
    await report({});
    expect(await refusalOf(report(wrong))).toEqual({
      reason: "SERIES_INVALID",
      fields: [`returns[0].series.${field}`],
    });
    const { evaluation } = await all.decisions.evaluate({
      worldId,
      validateOnly: true,
      policyDocument: document,
      requestId: "look",
    });
    expect(evaluation?.strategies[0]?.rules[0]).toMatchObject({
      use: RuleUse.ENTER,
      stage: EffectiveMode.COMPUTE_ONLY,
      domain: ExecutionDomain.BACKTEST,
      verdict: RuleVerdict.PASS,
      samples: 100,
    });
  });
});

test("a gateway may look at an evaluation, but have nobody judged by one", async () => {
  const worldId = await all.make("a");
  const evaluate = (validateOnly: boolean) =>
    all.wire
      .as("gateway")
      .client(DecisionService)
      .evaluate({ worldId, validateOnly, policyDocument: document, requestId: "judge" });

  expect(await reasonOf(evaluate(false))).toBe("ROLE_REQUIRED");
  expect((await evaluate(true)).evaluation?.strategies).toHaveLength(1);
});
