/** What is wrong with a policy document, and where. Lines and columns count from 1. */
export interface PolicyProblem {
  readonly reason: "POLICY_INVALID" | "METRIC_UNKNOWN" | "BOUND_NEVER_BINDS";
  /** Dotted path, such as `thresholds.drawdown.max`; empty for the document. */
  readonly path: string;
  readonly message: string;
  readonly line: number;
  readonly column: number;
}

/** Largest number of problems reported; further ones are left out. */
export const policyProblemsMax = 50;

/** A document that was refused whole. */
export class PolicyError extends Error {
  readonly problems: readonly PolicyProblem[];

  constructor(problems: readonly PolicyProblem[]) {
    super(problems.map((p) => `${p.line}:${p.column} ${p.message}`).join("; "));
    this.name = "PolicyError";
    this.problems = problems;
  }
}
