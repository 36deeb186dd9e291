import { boundProblem, findMetric, listMetrics, type Metric } from "@qmtl/core/metrics";
import {
  METRICS_FROM_DEFAULT,
  type MetricsFrom,
  minSamplesDefault,
  type Policy,
  STAGES,
  type Stage,
  type Threshold,
} from "./policy.ts";
import { YamlReader, type YamlValue } from "./yaml-reader.ts";

const KEYS = [
  "metrics_from",
  "min_samples",
  "thresholds",
  "top_k",
  "correlation",
  "hysteresis",
  "position_policy",
  "max_lag",
] as const;

const FULL_FORM_KEYS = [
  "data_currency",
  "selection",
  "gates",
  "score",
  "constraints",
  "topk",
  "circuit_breaker",
  "gating_policy",
];

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Looks a metric up: in the product's list, unless a test passes its own. */
type FindMetric = (name: string) => Metric | undefined;

/**
 * Reads a policy in the short form and checks it whole: unknown keys, types, metric names, bounds that can never bind
 * or never pass.
 *
 * @throws {PolicyError} with line and column of every problem.
 */
export function parsePolicy(text: string, find: FindMetric = findMetric): Policy {
  const reader = new YamlReader(text);
  const full = reader.members(reader.root);
  for (const key of FULL_FORM_KEYS) {
    const value = full.get(key);
    if (value !== undefined) {
      reader.complain(value, `"${key}" belongs to the full form, which is not implemented yet`);
    }
  }
  reader.finish();
  const root = reader.members(reader.root, KEYS);
  const policy: Policy = {
    metricsFrom: readMetricsFrom(reader, root.get("metrics_from")),
    minSamples: readMinSamples(reader, root.get("min_samples")),
    thresholds: readThresholds(reader, root.get("thresholds"), find),
    topK: readTopK(reader, root.get("top_k"), find),
    correlation: readCorrelation(reader, root.get("correlation")),
    hysteresis: readHysteresis(reader, root.get("hysteresis"), find),
    onDemote: readOnDemote(reader, root.get("position_policy")),
    maxLagSeconds: readMaxLag(reader, root.get("max_lag")),
  };
  reader.finish();
  return policy;
}

/** Series that a strategy cannot have yet when it enters a stage for the first time. */
const NOT_YET: Readonly<Record<string, readonly MetricsFrom[keyof MetricsFrom][]>> = {
  enter_paper: ["dryrun", "live"],
  enter_live: ["live"],
};

function readMetricsFrom(reader: YamlReader, value: YamlValue | undefined): MetricsFrom {
  if (value === undefined) return METRICS_FROM_DEFAULT;
  const keys = ["enter_paper", "stay_paper", "enter_live", "stay_live"];
  const members = reader.members(value, keys);
  const read = (key: string, otherwise: MetricsFrom[keyof MetricsFrom]) => {
    const member = members.get(key);
    if (member === undefined) return otherwise;
    const domain = reader.word(member, ["backtest", "dryrun", "live"]) ?? otherwise;
    if (NOT_YET[key]?.includes(domain) === true) {
      const stage = key.slice("enter_".length);
      const message = `${key} ${domain} can never be met: there are no ${domain} returns before ${stage} is reached`;
      reader.complain(member, message, "BOUND_NEVER_BINDS");
    }
    return domain;
  };
  return {
    enterPaper: read("enter_paper", METRICS_FROM_DEFAULT.enterPaper),
    stayPaper: read("stay_paper", METRICS_FROM_DEFAULT.stayPaper),
    enterLive: read("enter_live", METRICS_FROM_DEFAULT.enterLive),
    stayLive: read("stay_live", METRICS_FROM_DEFAULT.stayLive),
  };
}

function readMinSamples(reader: YamlReader, value: YamlValue | undefined): number {
  if (value === undefined) return minSamplesDefault;
  const samples = reader.number(value);
  if (samples !== undefined && (!Number.isInteger(samples) || samples < 2)) {
    reader.complain(value, "min_samples must be a whole number of at least 2");
  }
  return samples ?? minSamplesDefault;
}

function readThresholds(
  reader: YamlReader,
  value: YamlValue | undefined,
  find: FindMetric,
): Threshold[] {
  if (value === undefined) return [];
  const thresholds: Threshold[] = [];
  for (const [name, entry] of reader.members(value)) {
    const members = reader.members(entry, ["metric", "min", "max", "at"]);
    const metric = readMetric(reader, entry, members.get("metric"), find);
    const min = readBound(reader, members.get("min"), metric, "min");
    const max = readBound(reader, members.get("max"), metric, "max");
    if (!members.has("min") && !members.has("max")) {
      reader.complain(entry, `${entry.path} needs min or max`);
    }
    if (min !== undefined && max !== undefined && min > max) {
      reader.complain(entry, `${entry.path}: min ${min} is above max ${max}, nothing could pass`);
    }
    const at = readStages(reader, members.get("at"));
    if (metric !== undefined) thresholds.push({ name, metric: metric.name, min, max, at });
  }
  return thresholds;
}

function readStages(reader: YamlReader, value: YamlValue | undefined): Stage[] | undefined {
  if (value === undefined) return undefined;
  const stages = reader.items(value).map((item) => reader.word(item, STAGES.slice(1)));
  return stages.filter((stage) => stage !== undefined);
}

function readTopK(reader: YamlReader, value: YamlValue | undefined, find: FindMetric) {
  if (value === undefined) return undefined;
  const members = reader.members(value, ["metric", "k"]);
  const metric = readMetric(reader, value, members.get("metric"), find);
  const kAt = members.get("k");
  if (kAt === undefined) reader.complain(value, "top_k.k is missing");
  const k = kAt === undefined ? undefined : reader.number(kAt);
  if (kAt !== undefined && k !== undefined && (!Number.isInteger(k) || k <= 0)) {
    reader.complain(kAt, `top_k.k must be a whole number above 0, not ${k}`);
  }
  return metric === undefined || k === undefined ? undefined : { metric: metric.name, k };
}

function readCorrelation(reader: YamlReader, value: YamlValue | undefined) {
  if (value === undefined) return undefined;
  const at = reader.members(value, ["max"]).get("max");
  if (at === undefined) reader.complain(value, "correlation.max is missing");
  const max = at === undefined ? undefined : reader.number(at);
  if (at !== undefined && max !== undefined && (max < 0 || max > 1)) {
    reader.complain(at, `correlation.max must be 0 to 1, not ${max}`);
  } else if (at !== undefined && max === 1) {
    reader.complain(at, "correlation.max 1 can never bind", "BOUND_NEVER_BINDS");
  }
  return max === undefined ? undefined : { max };
}

function readHysteresis(reader: YamlReader, value: YamlValue | undefined, find: FindMetric) {
  if (value === undefined) return undefined;
  const keys = reader.members(reader.root).has("hysteresis") ? reader.members(value) : new Map();
  for (const key of ["promote_after", "demote_after", "min_dwell"]) {
    const member = keys.get(key);
    if (member !== undefined) {
      reader.complain(member, `"${key}" belongs to the full form, which is not implemented yet`);
      return undefined;
    }
  }
  const members = reader.members(value, ["metric", "enter", "exit"]);
  const metric = readMetric(reader, value, members.get("metric"), find);
  for (const key of ["enter", "exit"]) {
    if (!members.has(key)) reader.complain(value, `hysteresis.${key} is missing`);
  }
  const enter = readBound(reader, members.get("enter"), metric, "min");
  const exit = readBound(reader, members.get("exit"), metric, "min");
  if (metric === undefined || enter === undefined || exit === undefined) return undefined;
  if (exit > enter)
    reader.complain(value, `hysteresis.exit ${exit} must not be above enter ${enter}`);
  return { metric: metric.name, enter, exit };
}

function readOnDemote(reader: YamlReader, value: YamlValue | undefined) {
  if (value === undefined) return undefined;
  const at = reader.members(value, ["on_demote"]).get("on_demote");
  return at === undefined ? undefined : reader.word(at, ["flat", "keep"]);
}

/** Seconds as a number, or text with a unit: 90s, 15m, 36h, 7d. */
function readMaxLag(reader: YamlReader, value: YamlValue | undefined): number | undefined {
  if (value === undefined) return undefined;
  const text = value.node === null ? "" : String(value.node);
  const match = /^["']?(\d+(?:\.\d+)?)\s*([smhd]?)["']?$/.exec(text.trim());
  const seconds = Number(match?.[1] ?? Number.NaN) * (SECONDS[match?.[2] || "s"] ?? 1);
  if (seconds > 0) return seconds;
  reader.complain(value, "max_lag must be seconds above 0, or text such as 90s, 15m, 36h, 7d");
  return undefined;
}

function readMetric(
  reader: YamlReader,
  parent: YamlValue,
  value: YamlValue | undefined,
  find: FindMetric,
): Metric | undefined {
  if (value === undefined) {
    reader.complain(parent, `${parent.path}.metric is missing`);
    return undefined;
  }
  const name = reader.text(value);
  if (name === undefined) return undefined;
  const metric = find(name);
  if (metric === undefined) {
    const known = listMetrics().map((each) => each.name);
    const message = `unknown metric "${name}" (known: ${known.join(", ")})`;
    reader.complain(value, message, "METRIC_UNKNOWN");
  }
  return metric;
}

function readBound(
  reader: YamlReader,
  value: YamlValue | undefined,
  metric: Metric | undefined,
  side: "min" | "max",
): number | undefined {
  const bound = value === undefined ? undefined : reader.number(value);
  if (value === undefined || bound === undefined || metric === undefined) return bound;
  const problem = boundProblem(metric, side, bound);
  if (problem === undefined) return bound;
  const range = `${metric.name} is ${metric.range.min} to ${metric.range.max}`;
  const can = problem === "NEVER_BINDS" ? "can never bind" : "can never be met";
  reader.complain(value, `${value.path} ${bound} ${can}: ${range}`, "BOUND_NEVER_BINDS");
  return bound;
}
