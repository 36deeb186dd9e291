import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { RuleUse, RuleVerdict } from "@qmtl/contracts/qmtl/world/v1/decision_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
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

describe("returns of a run that is marked more often than its returns interval ends", () => {
  const hourMs = 3_600_000;
  const evaluate = async (worldId: string, policyDocument: string) => {
    const requestId = `look ${worldId}`;
    const asked = { worldId, validateOnly: true, policyDocument, requestId };
    const { evaluation } = await all.decisions.evaluate(asked);
    return evaluation!.strategies[0]!;
  };
  /** 80 days of three marks each: half is lost at noon and won back, and the day ends 1 % or 2 % above its beginning. */
  const noon = Array.from({ length: 80 }, (_, day) => [0, -0.5, 1.01 + 0.01 * (day % 2)]).flat();
  const ends = noon.map((_, at) => (Math.floor(at / 3) * 24 + 8 * ((at % 3) + 1)) * hourMs);
  const marked = (returns: readonly number[]) => ({
    ...goodSeries,
    returns: [...returns],
    bucketEndMs: ends.slice(0, returns.length),
  });
  const report = (worldId: string, series: object) =>
    all.decisions.reportReturns({ worldId, returns: [{ strategyId: "a", series }] });

  test("are judged whole: total and drawdown of every mark, ratios and samples of every day", async () => {
    const worldId = await all.make("a");
    await report(worldId, marked(noon));
    const { rules, metrics } = await evaluate(
      worldId,
      "min_samples: 80\nthresholds: {drawdown: {metric: max_drawdown_ratio, max: 0.25}}",
    );

    expect(rules[0]).toMatchObject({ samples: 80, verdict: RuleVerdict.FAIL });
    expect(rules[0]!.text).toBe("drawdown 0.50 > 0.25");
    expect(metrics.max_drawdown_ratio).toBeCloseTo(0.5, 12);
    expect(metrics.total_return).toBeCloseTo(1.005 ** 40 * 1.01 ** 40 - 1, 9);
    expect(metrics.win_ratio).toBe(1);
    expect(metrics.samples).toBe(80);
  });

  test("do not have enough samples by their marks", async () => {
    const worldId = await all.make("a");
    await report(worldId, marked(noon));
    const { rules } = await evaluate(worldId, "min_samples: 81");

    expect(rules[0]!.text).toBe("80 of 81 backtest samples needed for compute-only");
  });

  test("that come to nothing at any mark fail by name, with no ratio, whatever follows", async () => {
    const worldId = await all.make("a");
    await report(worldId, marked(noon.with(100, -1.2)));
    const { rules, metrics } = await evaluate(worldId, "min_samples: 2");

    expect(rules.map(({ rule, text, verdict }) => ({ rule, text, verdict }))).toEqual([
      {
        rule: "RUINED",
        text: "RUINED: nothing was left, total_return -1",
        verdict: RuleVerdict.FAIL,
      },
    ]);
    expect(metrics.total_return).toBe(-1);
    expect(metrics).not.toHaveProperty("sharpe");
  });
});

describe("a paper series that goes on with another clock", () => {
  const [hourMs, dayMs] = [3_600_000, 86_400_000];
  const [ofDays, ofHours] = [
    { interval: durationFromMs(dayMs), periodsPerYear: 252 },
    { interval: durationFromMs(hourMs), periodsPerYear: 8_760 },
  ];
  const paper = (fromMs: number, stepMs: number, returns: readonly number[]) => ({
    domain: ExecutionDomain.DRYRUN,
    returns: [...returns],
    bucketEndMs: returns.map((_, at) => fromMs + (at + 1) * stepMs),
  });
  const days = paper(0, dayMs, [0.01, -0.02, 0.03]);
  const hours = paper(3 * dayMs, hourMs, new Array(48).fill(0).with(5, -0.5).with(6, 1));
  let worldId: string;
  const report = (series: object) =>
    all.wire
      .as("gateway")
      .client(DecisionService)
      .reportReturns({ worldId, returns: [{ strategyId: "a", series }] });
  /** What is judged and what is counted of the series now. */
  const seen = async () => {
    const policyDocument =
      "metrics_from: {enter_paper: dryrun, stay_paper: dryrun}\nmin_samples: 2\n" +
      "thresholds: {volatility: {metric: volatility, max: 100}}";
    const asked = { worldId, validateOnly: true, policyDocument, requestId: "look" };
    const { evaluation } = await all.decisions.evaluate(asked);
    const { decision } = await all.decisions.decide({ worldId });
    const terms = decision!.strategies.flatMap((one) => one.terms.map(({ detail }) => detail));
    const counted = terms.find((detail) => detail.includes("dryrun samples"));
    const { samples, volatility, max_drawdown_ratio } = evaluation!.strategies[0]!.metrics;
    return { samples, volatility, drawdown: max_drawdown_ratio, counted };
  };
  beforeEach(async () => {
    worldId = await all.make("a");
    const document = "metrics_from: {enter_paper: dryrun, stay_paper: dryrun}\nmin_samples: 2";
    await all.policies.createPolicy({ worldId, document, requestId: "p" });
  });

  test("of a shorter interval is sampled by the longer one, in as many a year as the feed with the most", async () => {
    await report({ ...days, ...ofDays });
    const { volatility = 0 } = await seen();
    const answers = [
      await report({ ...hours, ...ofHours }),
      await report({ ...hours, ...ofHours }),
    ];
    const after = await seen();

    expect(answers.map(({ samples }) => samples)).toEqual([[51], [51]]);
    expect(after).toMatchObject({ samples: 5, drawdown: expect.closeTo(0.5, 12) });
    expect(after.counted).toBe("5 dryrun samples ≥ 2");
    const deviation = (values: readonly number[]) => {
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
      return Math.sqrt(squares / (values.length - 1));
    };
    expect(volatility).toBeCloseTo(deviation(days.returns) * Math.sqrt(252), 12);
    expect(after.volatility).toBeCloseTo(deviation([...days.returns, 0, 0]) * Math.sqrt(365), 12);
  });

  test("of a longer interval is sampled by it from its beginning", async () => {
    await report({ ...hours, ...ofHours });
    const before = await seen();
    await report({ ...paper(5 * dayMs, dayMs, [0.01]), ...ofDays });

    expect(before).toMatchObject({ samples: 48, counted: "48 dryrun samples ≥ 2" });
    expect(await seen()).toMatchObject({ samples: 3, counted: "3 dryrun samples ≥ 2" });
  });

  test("keeps its clock when a report has no returns", async () => {
    await report({ ...days, ...ofDays });
    const before = await seen();
    await report({ ...ofHours, domain: ExecutionDomain.DRYRUN });

    expect(await seen()).toEqual(before);
  });
});

test("a series that comes to nothing shuts its strategy before anybody evaluates the world", async () => {
  const worldId = await all.makeActive();
  const modeNow = async () => {
    const { decision } = await all.decisions.decide({ worldId, strategyIds: ["a"] });
    return decision!.strategies[0];
  };
  const before = await modeNow();
  const returns = goodSeries.returns.map((value, at) => (at === 70 ? -1 : value));
  const series = { ...goodSeries, returns };
  await all.decisions.reportReturns({ worldId, returns: [{ strategyId: "a", series }] });
  const after = await modeNow();

  expect(before?.effectiveMode).toBe(EffectiveMode.COMPUTE_ONLY);
  expect(after?.effectiveMode).toBe(EffectiveMode.VALIDATE);
  expect(after?.terms.map(({ detail }) => detail)).toContain(
    "RUINED: nothing was left of the backtest series",
  );
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
