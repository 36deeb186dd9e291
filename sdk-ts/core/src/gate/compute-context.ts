import {
  domainOfMode,
  type EffectiveMode,
  type ExecutionDomain,
  foldName,
  parseMode,
} from "./modes.ts";

/** Why a compute context was lowered to backtest. */
export type DowngradeReason = "missing_as_of" | "decision_unavailable" | "stale_decision";

/** Where a strategy computes and may trade, after the safe-mode rule. */
export interface SafeContext {
  readonly executionDomain: ExecutionDomain;
  readonly isDowngraded: boolean;
  readonly reason: DowngradeReason | null;
  /** True when the context was lowered: orders are off whatever else is said. */
  readonly isSafeMode: boolean;
}

const DOMAIN_NAMES: ReadonlyMap<string, ExecutionDomain> = new Map<string, ExecutionDomain>([
  ...names("backtest", "backtest backtesting compute computeonly offline sandbox sim simulation"),
  ...names("backtest", "simulated validate validation"),
  ...names("dryrun", "dryrun dryrunmode paper papermode papertrade papertrading papertrader"),
  ...names("live", "live prod production"),
  ...names("shadow", "shadow"),
]);

function names(domain: ExecutionDomain, words: string): [string, ExecutionDomain][] {
  return words.split(" ").map((word) => [word, domain]);
}

/**
 * Reads an execution domain: the text is split on `/` and `:`, case, spaces, `_` and `-` are dropped,
 * and the first known part wins. Undefined when nothing is known.
 */
export function parseDomain(value: unknown): ExecutionDomain | undefined {
  if (typeof value !== "string") return undefined;
  for (const part of value.split(/[/:]/)) {
    const domain = DOMAIN_NAMES.get(foldName(part));
    if (domain !== undefined) return domain;
  }
  return undefined;
}

/**
 * The safe-mode rule for a wished domain. Missing, empty, `default` or unknown: backtest,
 * `decision_unavailable`. Backtest or dryrun without a data snapshot: backtest, `missing_as_of`.
 * Live and shadow need no snapshot.
 */
export function safeContext(domain: unknown, asOf?: string | null): SafeContext {
  const parsed = parseDomain(domain);
  if (parsed === undefined) return downgraded("decision_unavailable");
  return withSnapshot(parsed, asOf);
}

/** The same rule for a decision's mode; an unknown mode is `decision_unavailable`. */
export function contextOfMode(
  mode: unknown,
  asOf?: string | null,
): SafeContext & { readonly mode: EffectiveMode } {
  const parsed = parseMode(mode);
  if (!parsed.isKnown) return { mode: "validate", ...downgraded("decision_unavailable") };
  return { mode: parsed.mode, ...withSnapshot(domainOfMode(parsed.mode), asOf) };
}

/** A context lowered to backtest with orders off. */
export function downgraded(reason: DowngradeReason): SafeContext {
  return { executionDomain: "backtest", isDowngraded: true, reason, isSafeMode: true };
}

function withSnapshot(domain: ExecutionDomain, asOf?: string | null): SafeContext {
  const needsSnapshot = domain === "backtest" || domain === "dryrun";
  if (needsSnapshot && !asOf) return downgraded("missing_as_of");
  return { executionDomain: domain, isDowngraded: false, reason: null, isSafeMode: false };
}
