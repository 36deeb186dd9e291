import { computeMetrics, type ReturnSeries } from "@qmtl/core/metrics";
import {
  type Candidate,
  type CorrelationOf,
  evaluatePolicy,
  type JudgedAs,
  type RuleVerdict,
} from "./evaluate-policy.ts";
import {
  compareStages,
  enterDomain,
  holdDomain,
  type Policy,
  type SeriesDomain,
  STAGES,
  type Stage,
  stageAbove,
} from "./policy.ts";

/** A strategy as it stands in its world. */
export interface JudgedStrategy {
  readonly strategyId: string;
  readonly stage: Stage;
  /** Stages it was demoted from on their own series. */
  readonly demotedFrom: readonly Stage[];
  readonly series: Readonly<Partial<Record<SeriesDomain, ReturnSeries>>>;
}

/** One rule as judged, with what it was judged for and the series it was judged on. */
export interface TracedRule extends RuleVerdict {
  /** To enter `stage`, or to stay in it. */
  readonly use: "enter" | "stay";
  readonly stage: Stage;
  readonly domain: SeriesDomain;
  readonly samples: number;
}

/** What a policy says about one strategy. */
export interface StrategyVerdict {
  readonly strategyId: string;
  readonly stageBefore: Stage;
  /** Where it stays: `stageBefore`, or lower at once. */
  readonly stageAfter: Stage;
  /** The highest stage that an apply may raise it to: at most one above. */
  readonly mayReach: Stage;
  /** True when it was lowered on the series on which `stageBefore` is held. */
  readonly isDemotedOnOwnSeries: boolean;
  readonly rules: readonly TracedRule[];
  readonly metrics: ReadonlyMap<string, number>;
}

/** What a world is judged with. */
interface JudgeOptions {
  readonly policy: Policy;
  /** Highest stage the world allows. */
  readonly ceiling: Stage;
  /** Correlation of the series of two strategies in a domain. */
  readonly correlationOf?: (domain: SeriesDomain) => CorrelationOf;
}

interface Question {
  readonly strategy: JudgedStrategy;
  readonly stage: Stage;
  readonly as: JudgedAs;
  readonly domain: SeriesDomain;
}

/**
 * Judges the strategies of a world, in order of binding.
 *
 * Each stage above validate is held on its own series by the `exit` bound; until that series has `minSamples`, the
 * verdict that let the strategy in stands. A strategy that fails falls to the next lower stage that it passes. One that
 * keeps its stage is judged for the stage above by the `enter` bound, on the series on which that stage is entered; if
 * it was demoted from that stage, on the stage's own series as well, provided that has `minSamples`. Strategies that
 * hold a stage take their places in top-k and correlation first.
 */
export function judgeWorld(
  strategies: readonly JudgedStrategy[],
  options: JudgeOptions,
): StrategyVerdict[] {
  const rules = new Map(strategies.map((s): [string, TracedRule[]] => [s.strategyId, []]));
  const after = new Map(strategies.map((s): [string, Stage] => [s.strategyId, s.stage]));
  const demoted = new Set<string>();
  for (const stage of STAGES.slice(1))
    holdStage(stage, strategies, options, { rules, after, demoted });
  const reach = new Map(after);
  for (const stage of STAGES.slice(1)) {
    if (compareStages(stage, options.ceiling) > 0) continue;
    enterStage(stage, strategies, options, { rules, after, reach });
  }
  return strategies.map((s) => ({
    strategyId: s.strategyId,
    stageBefore: s.stage,
    stageAfter: after.get(s.strategyId) ?? "validate",
    mayReach: reach.get(s.strategyId) ?? "validate",
    isDemotedOnOwnSeries: demoted.has(s.strategyId),
    rules: rules.get(s.strategyId) ?? [],
    metrics: judgedMetrics(s, options.policy),
  }));
}

interface HoldBooks {
  readonly rules: Map<string, TracedRule[]>;
  readonly after: Map<string, Stage>;
  readonly demoted: Set<string>;
}

function holdStage(
  stage: Stage,
  strategies: readonly JudgedStrategy[],
  options: JudgeOptions,
  books: HoldBooks,
): void {
  const { policy } = options;
  const domain = holdDomain(policy.metricsFrom, stage);
  const held = strategies.filter((s) => s.stage === stage);
  const questions = held.map((strategy): Question => ({ strategy, stage, as: "hold", domain }));
  const candidates = questions.map((question) => holdCandidate(question, policy, books));
  const outcome = evaluatePolicy(policy, candidates, options.correlationOf?.(domain));
  for (const question of questions) {
    const { strategy } = question;
    const id = strategy.strategyId;
    record(books.rules, question, outcome.verdicts.get(id) ?? []);
    if (outcome.selected.includes(id)) continue;
    books.demoted.add(id);
    books.after.set(id, fallTo(strategy, policy, books.rules));
  }
}

function holdCandidate(question: Question, policy: Policy, books: HoldBooks): Candidate {
  const { strategy, stage, domain } = question;
  const samples = strategy.series[domain]?.samples ?? 0;
  const base = candidateOf(question);
  if (base.isRuined === true) return base;
  if (samples >= policy.minSamples) return { ...base, mayBeUndefined: true };
  const letIn = enterDomain(policy.metricsFrom, stage);
  const text = `${samples} of ${policy.minSamples} ${domain} samples: the verdict on ${letIn} stands`;
  const bound = policy.minSamples;
  const fixed = { rule: "min_samples", metric: "samples", kind: "samples" } as const;
  const verdict = { ...fixed, value: samples, bound, verdict: "not_yet_judged", text } as const;
  record(books.rules, question, [verdict]);
  return { ...base, isStanding: true };
}

/** The highest stage below that the strategy may hold, by thresholds and hysteresis alone. */
function fallTo(strategy: JudgedStrategy, policy: Policy, rules: Map<string, TracedRule[]>): Stage {
  const alone = { ...policy, topK: undefined, correlation: undefined };
  const below = STAGES.slice(1, STAGES.indexOf(strategy.stage)).reverse();
  for (const stage of below) {
    const domain = holdDomain(policy.metricsFrom, stage);
    if ((strategy.series[domain]?.samples ?? 0) < policy.minSamples) continue;
    const question: Question = { strategy, stage, as: "hold", domain };
    const outcome = evaluatePolicy(alone, [candidateOf(question)]);
    record(rules, question, outcome.verdicts.get(strategy.strategyId) ?? []);
    if (outcome.selected.length > 0) return stage;
  }
  return "validate";
}

interface EnterBooks {
  readonly rules: Map<string, TracedRule[]>;
  readonly after: ReadonlyMap<string, Stage>;
  readonly reach: Map<string, Stage>;
}

function enterStage(
  stage: Stage,
  strategies: readonly JudgedStrategy[],
  options: JudgeOptions,
  books: EnterBooks,
): void {
  const { policy } = options;
  const domain = enterDomain(policy.metricsFrom, stage);
  const candidates: Candidate[] = [];
  const asked = new Map<string, Question>();
  for (const strategy of strategies) {
    const now = books.after.get(strategy.strategyId) ?? "validate";
    if (compareStages(now, stage) >= 0) {
      candidates.push({
        strategyId: strategy.strategyId,
        as: "hold",
        metrics: new Map(),
        isStanding: true,
      });
      continue;
    }
    if (now !== strategy.stage || stageAbove(now) !== stage) continue;
    const question: Question = { strategy, stage, as: "enter", domain };
    if (
      hasSamples(question, policy, books.rules) &&
      passesOwnSeries(question, policy, books.rules)
    ) {
      candidates.push(candidateOf(question));
      asked.set(strategy.strategyId, question);
    }
  }
  const outcome = evaluatePolicy(policy, candidates, options.correlationOf?.(domain));
  for (const { strategyId, isStanding } of candidates) {
    if (isStanding === true) continue;
    const question = asked.get(strategyId);
    if (question !== undefined) {
      record(books.rules, question, outcome.verdicts.get(strategyId) ?? []);
    }
    if (outcome.selected.includes(strategyId)) books.reach.set(strategyId, stage);
  }
}

function hasSamples(q: Question, policy: Policy, rules: Map<string, TracedRule[]>): boolean {
  const { samples = 0, isRuined = false } = q.strategy.series[q.domain] ?? {};
  if (samples >= policy.minSamples || isRuined) return true;
  const text = `${samples} of ${policy.minSamples} ${q.domain} samples needed for ${q.stage}`;
  const fixed = { rule: "min_samples", metric: "samples", kind: "samples" } as const;
  const verdict = {
    ...fixed,
    value: samples,
    bound: policy.minSamples,
    verdict: "fail",
    text,
  } as const;
  record(rules, q, [verdict]);
  return false;
}

/**
 * A strategy demoted on a stage's own series must pass that series, too, before it enters the stage again; one whose own
 * series came to nothing never does.
 */
function passesOwnSeries(q: Question, policy: Policy, rules: Map<string, TracedRule[]>): boolean {
  const own = holdDomain(policy.metricsFrom, q.stage);
  const { strategy } = q;
  const { samples = 0, isRuined = false } = strategy.series[own] ?? {};
  const isJudged = strategy.demotedFrom.includes(q.stage) && samples >= policy.minSamples;
  if (own === q.domain || !(isJudged || isRuined)) return true;
  const alone = { ...policy, topK: undefined, correlation: undefined };
  const question = { ...q, domain: own };
  const outcome = evaluatePolicy(alone, [candidateOf(question)]);
  record(rules, question, outcome.verdicts.get(strategy.strategyId) ?? []);
  return outcome.selected.length > 0;
}

function candidateOf({ strategy, stage, as, domain }: Question): Candidate {
  const series = strategy.series[domain];
  const metrics =
    series === undefined
      ? new Map<string, number>()
      : computeMetrics(series, strategy.series.backtest);
  const isRuined = series?.isRuined === true;
  return { strategyId: strategy.strategyId, as, stage, metrics, isRuined };
}

function record(
  rules: Map<string, TracedRule[]>,
  { strategy, stage, as, domain }: Question,
  verdicts: readonly RuleVerdict[],
): void {
  const samples = strategy.series[domain]?.samples ?? 0;
  const about = { use: as === "hold" ? "stay" : "enter", stage, domain, samples } as const;
  rules.get(strategy.strategyId)?.push(...verdicts.map((verdict) => ({ ...verdict, ...about })));
}

/**
 * Metrics of the series on which the strategy's current stage is held; while it has none, of that which enters paper.
 */
function judgedMetrics(strategy: JudgedStrategy, policy: Policy): ReadonlyMap<string, number> {
  const own = strategy.series[holdDomain(policy.metricsFrom, strategy.stage)];
  const series = own ?? strategy.series[enterDomain(policy.metricsFrom, "paper")];
  return series === undefined ? new Map() : computeMetrics(series, strategy.series.backtest);
}
