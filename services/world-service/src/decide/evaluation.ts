import type { TracedRule } from "../policy/judge-world.ts";
import type { Stage } from "../policy/policy.ts";

/** One strategy as judged, in plain data. */
export interface StrategyTraceRow {
  readonly strategyId: string;
  readonly stageBefore: Stage;
  readonly stageAfter: Stage;
  readonly mayReach: Stage;
  readonly selected: boolean;
  readonly rules: readonly TracedRule[];
  readonly metrics: Readonly<Record<string, number>>;
  readonly dataEndMs: number;
}

/** A stored evaluation: who was judged, by which rule, on what, and with which verdict. */
export interface EvaluationRow {
  readonly evaluationId: string;
  readonly policyVersion: number;
  readonly createdMs: number;
  /** "Now" of the world: its watermark in a replay, else the wall clock. */
  readonly nowMs: number;
  readonly strategies: readonly StrategyTraceRow[];
  /** Strategies that were lowered at once. */
  readonly lowered: readonly string[];
}
