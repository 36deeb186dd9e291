/** Domains a series is measured in. */
export type SeriesDomain = "backtest" | "dryrun" | "live";

/** Stages a policy decides about, lowest first; validate is where everything begins. */
export type Stage = "validate" | "compute-only" | "paper" | "live";

/** Stages in order. */
export const STAGES: readonly Stage[] = ["validate", "compute-only", "paper", "live"];

/** Which series a stage is entered and held on. Compute-only uses `enterPaper` for both. */
export interface MetricsFrom {
  readonly enterPaper: SeriesDomain;
  readonly stayPaper: SeriesDomain;
  readonly enterLive: SeriesDomain;
  readonly stayLive: SeriesDomain;
}

/** A bound on a metric, ends included. */
export interface Threshold {
  readonly name: string;
  readonly metric: string;
  readonly min: number | undefined;
  readonly max: number | undefined;
  /** Stages it is limited to; undefined for all. */
  readonly at: readonly Stage[] | undefined;
}

/** A policy in the short form, checked whole. The rules are applied in the order of the fields. */
export interface Policy {
  readonly metricsFrom: MetricsFrom;
  /** Samples a stage's own series needs before it is judged. */
  readonly minSamples: number;
  readonly thresholds: readonly Threshold[];
  readonly topK: { readonly metric: string; readonly k: number } | undefined;
  readonly correlation: { readonly max: number } | undefined;
  readonly hysteresis:
    | { readonly metric: string; readonly enter: number; readonly exit: number }
    | undefined;
  /** What the router does with the position of a demoted strategy; undefined: the world's setting. */
  readonly onDemote: "flat" | "keep" | undefined;
  /** Oldest data a strategy may trade on, seconds; undefined: the world's setting. */
  readonly maxLagSeconds: number | undefined;
}

/** Samples needed when a policy does not state a number. */
export const minSamplesDefault = 60;

/** Series used when a policy does not name them. */
export const METRICS_FROM_DEFAULT: MetricsFrom = {
  enterPaper: "backtest",
  stayPaper: "dryrun",
  enterLive: "dryrun",
  stayLive: "live",
};

/** The series a stage is entered on. */
export function enterDomain(from: MetricsFrom, stage: Stage): SeriesDomain {
  return stage === "live" ? from.enterLive : from.enterPaper;
}

/** The series a stage is held on: its own. */
export function holdDomain(from: MetricsFrom, stage: Stage): SeriesDomain {
  if (stage === "live") return from.stayLive;
  return stage === "paper" ? from.stayPaper : from.enterPaper;
}

/** The stage above, or undefined at the top. */
export function stageAbove(stage: Stage): Stage | undefined {
  return STAGES[STAGES.indexOf(stage) + 1];
}

/** Negative when `a` is below `b`. */
export function compareStages(a: Stage, b: Stage): number {
  return STAGES.indexOf(a) - STAGES.indexOf(b);
}
