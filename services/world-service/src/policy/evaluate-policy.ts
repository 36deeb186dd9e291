import type { Policy, Stage, Threshold } from "./policy.ts";

/** Whether a strategy asks to enter a stage or to keep it. */
export type JudgedAs = "enter" | "hold";

/** A strategy as the policy judges it. */
export interface Candidate {
  readonly strategyId: string;
  readonly as: JudgedAs;
  /** Values by metric name; an undefined one is absent. */
  readonly metrics: ReadonlyMap<string, number>;
  /** Stage it is judged for; thresholds limited to other stages do not apply. */
  readonly stage?: Stage;
  /** True: it keeps its stage without being judged, and takes its place before the others. */
  readonly isStanding?: boolean;
  /** True: nothing was left at the end of the series it is judged on, and it fails whatever the rules say. */
  readonly isRuined?: boolean;
  /** True: an undefined ratio is "not yet judged" instead of a failure. */
  readonly mayBeUndefined?: boolean;
}

/** One rule as judged for one strategy. */
export interface RuleVerdict {
  readonly rule: string;
  readonly metric: string;
  readonly value: number | undefined;
  readonly bound: number | undefined;
  readonly kind: "min" | "max" | "enter" | "exit" | "top_k" | "correlation" | "samples" | "ruin";
  readonly verdict: "pass" | "fail" | "not_yet_judged";
  readonly text: string;
}

/** Correlation of two strategies' returns, or undefined when it is not known. */
export type CorrelationOf = (a: string, b: string) => number | undefined;

/** The strategies that passed, in the order in which the policy leaves them, and every verdict. */
interface PolicyOutcome {
  readonly selected: readonly string[];
  readonly verdicts: ReadonlyMap<string, readonly RuleVerdict[]>;
}

/**
 * Applies a policy: thresholds, then top-k, then correlation, then hysteresis, each to those that passed the one
 * before. Whatever the rules, a strategy with nothing left fails first, by the name RUINED.
 *
 * - thresholds: all must hold, bounds included; a missing metric fails and is named;
 * - top-k: stable sort, highest first, missing = −∞; the first k stay;
 * - correlation: in that order, kept if |ρ| ≤ max with every one kept before; unknown passes;
 * - hysteresis: ≥ exit to keep, ≥ enter to get in; missing drops.
 *
 * Candidates come in order of binding; ties keep that order.
 */
export function evaluatePolicy(
  policy: Pick<Policy, "thresholds" | "topK" | "correlation" | "hysteresis">,
  candidates: readonly Candidate[],
  correlationOf: CorrelationOf = () => undefined,
): PolicyOutcome {
  const verdicts = new Map(candidates.map((c): [string, RuleVerdict[]] => [c.strategyId, []]));
  const note = (candidate: Candidate, verdict: RuleVerdict): boolean => {
    verdicts.get(candidate.strategyId)?.push(verdict);
    return verdict.verdict !== "fail";
  };
  const alive = candidates.filter((c) => isAlive(c, note));
  const standing = alive.filter((c) => c.isStanding === true);
  let left = alive.filter((c) => c.isStanding !== true);
  left = left.filter((c) => passesThresholds(policy.thresholds, c, note));
  left = takeTop(policy.topK, [...standing, ...left], note);
  left = dropCorrelated(policy.correlation, left, correlationOf, note);
  left = left.filter((c) => c.isStanding === true || passesHysteresis(policy.hysteresis, c, note));
  return { selected: left.map((c) => c.strategyId), verdicts };
}

type Note = (candidate: Candidate, verdict: RuleVerdict) => boolean;

function isAlive(c: Candidate, note: Note): boolean {
  if (c.isRuined !== true) return true;
  const text = "RUINED: nothing was left, total_return -1";
  const fixed = { rule: "RUINED", metric: "total_return", kind: "ruin" } as const;
  return note(c, { ...fixed, value: -1, bound: undefined, verdict: "fail", text });
}

function passesThresholds(thresholds: readonly Threshold[], c: Candidate, note: Note): boolean {
  let hasPassed = true;
  for (const { name, metric, min, max, at } of thresholds) {
    if (at !== undefined && c.stage !== undefined && !at.includes(c.stage)) continue;
    if (min !== undefined && !note(c, judge(c, name, metric, "min", min))) hasPassed = false;
    if (max !== undefined && !note(c, judge(c, name, metric, "max", max))) hasPassed = false;
  }
  return hasPassed;
}

function takeTop(topK: Policy["topK"], candidates: Candidate[], note: Note): Candidate[] {
  if (topK === undefined) return candidates;
  const { metric, k } = topK;
  const rankOf = (c: Candidate): number =>
    c.isStanding === true
      ? Number.POSITIVE_INFINITY
      : (c.metrics.get(metric) ?? Number.NEGATIVE_INFINITY);
  const ranked = candidates.toSorted((a, b) => {
    const [x, y] = [rankOf(a), rankOf(b)];
    return x === y ? 0 : y - x;
  });
  return ranked.filter((c, index) => {
    if (c.isStanding === true) return true;
    const isIn = index < k;
    const text = `rank ${index + 1} by ${metric}, ${isIn ? "within" : "beyond"} the first ${k}`;
    const value = c.metrics.get(metric);
    const verdict = isIn ? "pass" : "fail";
    return note(c, { rule: "top_k", metric, value, bound: k, kind: "top_k", verdict, text });
  });
}

function dropCorrelated(
  correlation: Policy["correlation"],
  candidates: Candidate[],
  correlationOf: CorrelationOf,
  note: Note,
): Candidate[] {
  if (correlation === undefined) return candidates;
  const kept: Candidate[] = [];
  for (const c of candidates) {
    const known = kept
      .map((k) => ({ id: k.strategyId, value: correlationOf(k.strategyId, c.strategyId) }))
      .filter((pair): pair is { id: string; value: number } => pair.value !== undefined);
    const worst = known.reduce<{ id: string; value: number } | undefined>(
      (w, p) => (w === undefined || Math.abs(p.value) > Math.abs(w.value) ? p : w),
      undefined,
    );
    const isIn =
      c.isStanding === true || worst === undefined || Math.abs(worst.value) <= correlation.max;
    if (worst !== undefined && c.isStanding !== true) {
      const text = `|correlation| with ${worst.id} ${boundText(Math.abs(worst.value), isIn ? "≤" : ">", correlation.max)}`;
      const verdict = isIn ? "pass" : "fail";
      const fixed = { rule: "correlation", metric: "correlation", kind: "correlation" } as const;
      note(c, { ...fixed, value: worst.value, bound: correlation.max, verdict, text });
    }
    if (isIn) kept.push(c);
  }
  return kept;
}

function passesHysteresis(rule: Policy["hysteresis"], c: Candidate, note: Note): boolean {
  if (rule === undefined) return true;
  const isHeld = c.as === "hold";
  const bound = isHeld ? rule.exit : rule.enter;
  return note(c, judge(c, rule.metric, rule.metric, isHeld ? "exit" : "enter", bound));
}

function judge(
  c: Candidate,
  rule: string,
  metric: string,
  kind: "min" | "max" | "enter" | "exit",
  bound: number,
): RuleVerdict {
  const value = c.metrics.get(metric);
  if (value === undefined) {
    const verdict = c.mayBeUndefined === true ? "not_yet_judged" : "fail";
    const text = `${rule}: ${metric} is ${verdict === "fail" ? "missing" : "undefined, not yet judged"}`;
    return { rule, metric, value, bound, kind, verdict, text };
  }
  const isMet = kind === "max" ? value <= bound : value >= bound;
  const sign = kind === "max" ? (isMet ? "≤" : ">") : isMet ? "≥" : "<";
  const text = `${rule} ${boundText(value, sign, bound)}`;
  return { rule, metric, value, bound, kind, verdict: isMet ? "pass" : "fail", text };
}

/** A comparison for people: `9.03 > 3`. The value has two decimals, or more where they would hide the verdict. */
function boundText(value: number, sign: string, bound: number): string {
  let text = value.toFixed(2);
  for (let digits = 3; digits <= 8 && Number(text) === bound && value !== bound; digits += 1) {
    text = value.toFixed(digits);
  }
  return `${text} ${sign} ${bound}`;
}
