import { jcs } from "@qmtl/core/canonical";
import { QmtlError } from "@qmtl/sdk/rpc";
import { refusalOfApply } from "../apply/index.ts";
import { composeWorld } from "../decide/compose-decision.ts";
import { evaluateWorld } from "../decide/evaluate-world.ts";
import type { Stage } from "../policy/policy.ts";
import { policyRefusal } from "../policy/policy-refusal.ts";
import { insertDecision } from "../store/decision-table.ts";
import { readRun, type StoredRun } from "../store/gate-table.ts";
import { hashText } from "../store/hash-text.ts";
import type { ServicePorts } from "../world/service-ports.ts";
import type { WorldActor } from "../world/world-actor.ts";
import { stagesOf } from "../world/world-state.ts";
import { type GatingPolicy, parseGatingPolicy, promotionEdges } from "./gating-policy.ts";
import {
  type ApplyRequest,
  type ApplyStages,
  isCurrent,
  planActivations,
  planStages,
  targetStage,
} from "./plan-apply.ts";

/** An apply as it was requested. */
export interface ApplyOrder extends ApplyRequest {
  readonly runId: string;
  readonly excluded: readonly string[];
  /** YAML text; empty for none. */
  readonly gatingDocument: string;
  /** The caller's own consent to live. */
  readonly allowLive: boolean;
  /** The gateway's live guard let it pass. */
  readonly hasPassedLiveGuard: boolean;
  readonly principal: string;
  readonly reason: string;
  /** Id of the plan that a gateway prepared for; undefined if none was made. */
  readonly planId?: string | undefined;
}

/** What an apply would do, for a gateway that has to prepare it. */
interface PlannedApply {
  /** The run has begun already, so nothing further will switch. */
  readonly hasBegun: boolean;
  readonly planId: string;
  /** Strategies whose stage changes, in the order of their ids. */
  readonly changes: readonly StageChange[];
}

interface StageChange {
  readonly strategyId: string;
  readonly before: Stage;
  readonly after: Stage;
}

/** Decides an apply as `startApply` would, with the same refusals, and changes nothing. */
export function planApply(
  actor: WorldActor,
  ports: ServicePorts,
  order: ApplyOrder,
): Promise<PlannedApply> {
  return actor.exclusive(async () => {
    if ((await knownRun(actor, ports, order)) !== undefined) {
      return { hasBegun: true, planId: "", changes: [] };
    }
    const { plan } = await decide(actor, ports, order, true);
    return { hasBegun: false, planId: planIdOf(plan), changes: changesOf(actor, plan) };
  });
}

/** Begins an apply, or finds the run of the same id and content. Resolves once the freeze is committed. */
export function startApply(
  actor: WorldActor,
  ports: ServicePorts,
  order: ApplyOrder,
): Promise<StoredRun> {
  return actor.exclusive(async () => {
    const known = await knownRun(actor, ports, order);
    if (known !== undefined) return known;
    const { gating, plan } = await decide(actor, ports, order, false);
    if (order.planId !== undefined && order.planId !== planIdOf(plan)) throw planChanged(order);
    const requestHash = hashOf(actor, order);
    const holds = actor.row.holds.filter((hold) => hold !== "rollback");
    const composition = composeWorld(actor.state, holds, ports.clock.nowMs(), plan.stages);
    const decisionId = ports.newId();
    const before = stagesOf(actor.state);
    await actor.propose(
      (row) => {
        const { pre, post } = promotionEdges(row.edges, gating, order.runId);
        const ttlMs = actor.state.world.settings.decisionTtlSeconds * 1000;
        const request = {
          runId: order.runId,
          requestHash,
          excluded: order.excluded,
          plan: {
            decision: { id: decisionId, mode: composition.mode, ttlMs },
            activations: planActivations(row.activations, plan, composition),
            policyVersion: actor.state.world.policyVersion,
            prePromotionEdges: pre,
            postPromotionEdges: post,
          },
        };
        return { kind: "apply", request };
      },
      {
        principal: order.principal,
        stages: { before, after: plan.stages },
        audit: { type: "apply_phase", body: auditBody(order, plan.target, plan.active) },
        write: (tx) =>
          insertDecision(tx, actor.worldId, {
            decisionId,
            composition,
            createdMs: ports.clock.nowMs(),
          }),
      },
    );
    const { lastRun } = actor.state;
    if (lastRun === undefined) throw new Error("a committed run is in memory");
    return lastRun;
  });
}

/** The run of the same id and content, if it has begun. @throws {QmtlError} RUN_ID_REUSED */
async function knownRun(
  actor: WorldActor,
  ports: ServicePorts,
  order: ApplyOrder,
): Promise<StoredRun | undefined> {
  const known = await readRun(ports.db, actor.worldId, order.runId);
  if (known === undefined || known.run.requestHash === hashOf(actor, order)) return known;
  const message = `run ${order.runId} was used with other content`;
  throw new QmtlError("RUN_ID_REUSED", message, { metadata: { run_id: order.runId } });
}

/** Decides an apply: whether it is allowed, and what it switches. Call it inside `exclusive`. */
async function decide(
  actor: WorldActor,
  ports: ServicePorts,
  order: ApplyOrder,
  validateOnly: boolean,
): Promise<{ readonly gating: GatingPolicy | undefined; readonly plan: ApplyStages }> {
  refuseEarly(actor);
  const gating = readGating(order.gatingDocument);
  const target = targetStage(actor.state.world.stage, order);
  if (target === "live") checkLive(actor, order);
  else if (order.allowLive) throw consentToNothing(target);
  const evaluation = await currentEvaluation(actor, ports, order.principal, validateOnly);
  const active = actor.row.activations.filter((a) => a.active).map((a) => a.strategyId);
  return { gating, plan: planStages(actor.state, evaluation, order, [...new Set(active)]) };
}

function changesOf(actor: WorldActor, plan: ApplyStages): StageChange[] {
  const before = stagesOf(actor.state).strategies;
  return Object.entries(plan.stages.strategies)
    .flatMap(([strategyId, after]) => {
      const now = before[strategyId] ?? "validate";
      return now === after ? [] : [{ strategyId, before: now, after }];
    })
    .sort((a, b) => (a.strategyId < b.strategyId ? -1 : 1));
}

function planIdOf({ target, stages, active }: ApplyStages): string {
  return hashText(jcs({ target, stages: { ...stages.strategies }, active: [...active] }));
}

function planChanged(order: ApplyOrder): QmtlError {
  const message = "what this apply would switch has changed since it was planned; try again";
  return new QmtlError("CONFLICT", message, { metadata: { run_id: order.runId } });
}

function hashOf(actor: WorldActor, order: ApplyOrder): string {
  const { runId, target, activate, deactivate, excluded, gatingDocument, allowLive } = order;
  const content = {
    target,
    activate,
    deactivate,
    excluded,
    gatingDocument,
    allowLive,
  };
  return hashText(jcs({ world: actor.worldId, runId, ...content }));
}

/** Refuses before anything is judged, so that a refused apply leaves no evaluation behind. */
function refuseEarly(actor: WorldActor): void {
  const refusal = refusalOfApply(actor.row, actor.state.lastRun?.run ?? null);
  if (refusal === undefined) return;
  if (refusal === "APPLY_IN_PROGRESS") {
    const runId = actor.row.runId ?? "";
    throw new QmtlError("APPLY_IN_PROGRESS", `run ${runId} is in progress`, {
      metadata: { run_id: runId },
    });
  }
  const held = actor.row.holds.filter((hold) => hold !== "rollback");
  throw new QmtlError("WORLD_HELD", `the world is held: ${held.join(", ")}`, {
    metadata: { holds: held.join(",") },
  });
}

function readGating(document: string): GatingPolicy | undefined {
  if (document.trim() === "") return undefined;
  try {
    return parseGatingPolicy(document);
  } catch (error) {
    throw policyRefusal(error);
  }
}

/** Live needs three consents: of the world, of the gateway's live guard, of the caller. */
function checkLive(actor: WorldActor, order: ApplyOrder): void {
  const missing = [
    ...(actor.state.world.settings.allowLive ? [] : ["the world's allow_live"]),
    ...(order.hasPassedLiveGuard ? [] : ["the gateway's live guard"]),
    ...(order.allowLive ? [] : ["the caller's allow_live"]),
  ];
  if (missing.length === 0) return;
  throw new QmtlError("LIVE_NOT_ALLOWED", `live needs ${missing.join(" and ")}`, {
    metadata: { missing: missing.join(",") },
  });
}

/** Consent to live is meant for one action; given with another it is a mistake, or comes from a template. */
function consentToNothing(target: string): QmtlError {
  const description = `is for live only; the target is ${target}`;
  return new QmtlError("INVALID_FIELD", `allow_live ${description}`, {
    fields: [{ field: "allow_live", description }],
  });
}

/** The last evaluation if it is current, else a new one. */
async function currentEvaluation(
  actor: WorldActor,
  ports: ServicePorts,
  principal: string,
  validateOnly: boolean,
) {
  const last = actor.state.lastEvaluation;
  if (last !== undefined && isCurrent(actor.state, last)) return last;
  return evaluateWorld(actor, ports, { validateOnly, policyDocument: "", principal });
}

function auditBody(order: ApplyOrder, target: string, active: readonly string[]) {
  const { runId, reason, excluded } = order;
  return { run_id: runId, phase: "FREEZING", target, active, excluded, reason };
}
