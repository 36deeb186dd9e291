/**
 * Modes, execution domains, and the mapping between them.
 *
 * | mode         | domain   | orders |
 * | ------------ | -------- | ------ |
 * | validate     | backtest | off    |
 * | compute-only | backtest | off    |
 * | paper        | dryrun   | on     |
 * | live         | live     | on     |
 * | shadow       | shadow   | off    |
 *
 * Modes are ordered validate < compute-only < paper < live; shadow stands apart and is planned: no
 * service sets it. Whatever cannot be read lands on the safest branch: validate, backtest, orders off.
 */
export type EffectiveMode = "validate" | "compute-only" | "paper" | "live" | "shadow";

/** Where the orders of a mode go: nowhere, a paper broker, a venue, or a comparison only. */
export type ExecutionDomain = "backtest" | "dryrun" | "live" | "shadow";

const DOMAIN_OF = {
  validate: "backtest",
  "compute-only": "backtest",
  paper: "dryrun",
  live: "live",
  shadow: "shadow",
} as const satisfies Record<EffectiveMode, ExecutionDomain>;

const RANK_OF = {
  validate: 0,
  "compute-only": 1,
  shadow: 1,
  paper: 2,
  live: 3,
} as const satisfies Record<EffectiveMode, number>;

/** The execution domain of a mode, by the table above. */
export function domainOfMode(mode: EffectiveMode): ExecutionDomain {
  return DOMAIN_OF[mode];
}

/** Whether a mode lets orders out at all: paper and live do. */
export function modeAllowsOrders(mode: EffectiveMode): boolean {
  return mode === "paper" || mode === "live";
}

/** One thing that limits a mode: a stage, data currency, sample sufficiency, `allow_live`, a breaker. */
export interface ModeTerm {
  /** Stable name of the term, e.g. `world_stage`, `data_currency`. */
  readonly name: string;
  /** The highest mode this term allows. */
  readonly mode: EffectiveMode;
}

/** An effective mode with the terms that led to it. */
export interface BoundMode {
  readonly mode: EffectiveMode;
  /** Names of the terms that bound it, in the order given; `nothing_selected` when there were none. */
  readonly boundBy: readonly string[];
  /** Every term and its mode, then which of them bound: `a=live, b=paper; bound by b`. */
  readonly reason: string;
}

/**
 * The lowest of the given modes. No terms means nothing was selected: validate.
 *
 * Shadow stands apart: one shadow term makes the result shadow (orders off), unless another term
 * allows no more than validate or compute-only, which then wins.
 */
export function effectiveMode(terms: readonly ModeTerm[]): BoundMode {
  if (terms.length === 0) {
    return { mode: "validate", boundBy: ["nothing_selected"], reason: "nothing selected" };
  }
  let mode: EffectiveMode = "live";
  for (const term of terms) {
    const isLower = RANK_OF[term.mode] < RANK_OF[mode];
    const isPlainTie = term.mode === "compute-only" && mode === "shadow";
    if (isLower || isPlainTie) mode = term.mode;
  }
  const boundBy = terms.filter((term) => term.mode === mode).map((term) => term.name);
  const all = terms.map((term) => `${term.name}=${term.mode}`).join(", ");
  return { mode, boundBy, reason: `${all}; bound by ${boundBy.join(", ")}` };
}

/**
 * Whether an order that `from` lets out may not leave under `to`, because orders are off or go to another domain: the
 * change must raise `required_revision`.
 */
export function isRestrictiveModeChange(from: EffectiveMode, to: EffectiveMode): boolean {
  if (from === to) return false;
  return modeAllowsOrders(from) && (!modeAllowsOrders(to) || RANK_OF[to] !== RANK_OF[from]);
}
