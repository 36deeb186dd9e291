import type { EffectiveMode } from "@qmtl/core/gate";
import type { Queryable } from "@qmtl/service-kit/db";
import type { TracedRule } from "../policy/judge-world.ts";
import type { Stage } from "../policy/policy.ts";

/** One term of an effective mode. */
export interface DecisionTermRow {
  readonly name:
    | "world_stage"
    | "strategy_stage"
    | "data_currency"
    | "samples"
    | "allow_live"
    | "breaker"
    | "nothing_selected";
  /** The highest mode that it allows. */
  readonly mode: EffectiveMode;
  readonly detail: string;
  /** True for a term that limits the mode. */
  readonly binding: boolean;
}

/** A strategy within a decision. */
export interface ComposedStrategy {
  readonly strategyId: string;
  readonly stage: Stage;
  readonly mode: EffectiveMode;
  readonly terms: readonly DecisionTermRow[];
  /** Share of the world's capital that is in force. */
  readonly share: number;
}

/** A decision without its id and time to live. */
export interface Composition {
  readonly mode: EffectiveMode;
  readonly reason: string;
  readonly policyVersion: number;
  readonly strategies: readonly ComposedStrategy[];
}

/** A decision as it was made. Append-only. */
interface DecisionRow {
  readonly decisionId: string;
  readonly composition: Composition;
  readonly createdMs: number;
}

/** Adds a decision. */
export async function insertDecision(
  db: Queryable,
  worldId: string,
  row: DecisionRow,
): Promise<void> {
  await db.query(
    `INSERT INTO world.decision (decision_id, world_id, mode, body, created_ms)
     VALUES ($1, $2, $3, $4::jsonb, $5)`,
    [row.decisionId, worldId, row.composition.mode, JSON.stringify(row.composition), row.createdMs],
  );
}

/** The decision that was the latest at a time; undefined before the first. */
export async function readDecisionAsOf(
  db: Queryable,
  worldId: string,
  asOfMs: number,
): Promise<DecisionRow | undefined> {
  const [record] = await db.query<{ decision_id: string; body: Composition; created_ms: number }>(
    `SELECT decision_id, body, created_ms FROM world.decision WHERE world_id = $1 AND created_ms <= $2
     ORDER BY entry DESC LIMIT 1`,
    [worldId, asOfMs],
  );
  return (
    record && {
      decisionId: record.decision_id,
      composition: record.body,
      createdMs: record.created_ms,
    }
  );
}

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

/** Adds an evaluation. */
export async function insertEvaluation(
  db: Queryable,
  worldId: string,
  row: EvaluationRow,
): Promise<void> {
  await db.query(
    `INSERT INTO world.evaluation (evaluation_id, world_id, policy_version, body, created_ms)
     VALUES ($1, $2, $3, $4::jsonb, $5)`,
    [row.evaluationId, worldId, row.policyVersion, JSON.stringify(row), row.createdMs],
  );
}

/** An evaluation by id, the last one for an empty id; undefined when there is none. */
export async function readEvaluation(
  db: Queryable,
  worldId: string,
  evaluationId: string,
): Promise<EvaluationRow | undefined> {
  const [record] = await db.query<{ body: EvaluationRow }>(
    `SELECT body FROM world.evaluation WHERE world_id = $1 AND ($2 = '' OR evaluation_id = $2)
     ORDER BY entry DESC LIMIT 1`,
    [worldId, evaluationId],
  );
  return record?.body;
}
