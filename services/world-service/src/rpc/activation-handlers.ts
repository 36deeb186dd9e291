import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  type ActivationEnvelope,
  ActivationEnvelopeSchema,
  type ActivationService,
  type ApplyRequest,
  type ApplyRun,
  ApplyRunSchema,
} from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import type { PositionSide } from "@qmtl/core/gate";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type CallContext, type Handlers, originField, pagesOf } from "@qmtl/service-kit";
import { activationToProto, gateToProto, phaseToProto } from "../bus/gate-to-proto.ts";
import { followRun, type RunStep } from "../promote/follow-run.ts";
import { cancelApply, findRun, freezeWorld, resumeWorld } from "../promote/hold-world.ts";
import { activationEtag, activationsOf, updateActivation } from "../promote/set-activation.ts";
import { type ApplyOrder, planApply, startApply } from "../promote/start-apply.ts";
import { readRuns, type StoredRun } from "../store/gate-table.ts";
import type { WorldActor } from "../world/world-actor.ts";
import type { Worlds } from "../world/worlds.ts";
import { holds, sides, stages } from "./closed-sets.ts";

/** Header in which a gateway says that its live guard let a call pass. */
export const liveGuardHeader = "x-qmtl-live-guard";

/** Header in which a gateway says what it prepared for: `plan_id` of PlanApply. */
const applyPlanHeader = "x-qmtl-apply-plan";

/** Handlers of ActivationService. */
export function activationHandlers(worlds: Worlds): Handlers<typeof ActivationService> {
  const { ports } = worlds;
  const gateOf = (actor: WorldActor) => gateToProto(actor.row, actor.state.holdReasons);
  return {
    ...activationChanges(worlds),
    getActivation: async ({ worldId, strategyId }) => {
      const actor = worlds.get(worldId);
      if (strategyId !== "") checkKnown(actor, strategyId);
      const ids = strategyId === "" ? actor.row.activations.map((a) => a.strategyId) : [strategyId];
      const activations = [...new Set(ids)].flatMap((id) => envelopesOf(actor, id));
      return { gate: gateOf(actor), activations };
    },
    apply: async function* (request, context) {
      const actor = worlds.get(request.worldId);
      await startApply(actor, ports, orderFromProto(request, context));
      for await (const step of followRun(actor, ports, request.runId, context.signal)) {
        yield stepToProto(step);
      }
    },
    planApply: async ({ apply }, context) => {
      if (apply === undefined) throw new Error("the contract requires apply");
      const order = orderFromProto(apply, context);
      const planned = await planApply(worlds.get(apply.worldId), ports, order);
      const changes = planned.changes.map(({ strategyId, before, after }) => ({
        strategyId,
        before: stages.toProto(before),
        after: stages.toProto(after),
      }));
      return { ...planned, changes };
    },
    cancelApply: async ({ worldId, runId, reason }, context) => {
      const why = { principal: context.principal.name, reason };
      const stored = await cancelApply(worlds.get(worldId), ports, runId, why);
      return { run: runToProto(worldId, stored) };
    },
    getApplyRun: async ({ worldId, runId }) => ({
      run: runToProto(worldId, await findRun(worlds.get(worldId), ports, runId)),
    }),
    listApplyRuns: async (request) => {
      const { worldId } = request;
      const filters = { method: "ActivationService.ListApplyRuns", worldId };
      const pages = pagesOf(ports.clock, request, filters, ["number"]);
      worlds.get(worldId);
      const [before = Number.MAX_SAFE_INTEGER] = pages.after ?? [];
      const rows = await readRuns(ports.db, worldId, { before, limit: pages.size + 1 });
      const { page, nextPageToken } = pages.end(rows, ({ entry }) => [entry]);
      return { runs: page.map(({ stored }) => runToProto(worldId, stored)), nextPageToken };
    },
    freeze: async ({ worldId, hold: kind, reason }, context) => {
      const actor = worlds.get(worldId);
      const hold = holds.fromProto(kind, "hold");
      if (hold === "rollback") throw notFreezable();
      const why = { principal: context.principal.name, reason };
      const byMs = await freezeWorld(actor, ports, hold, why);
      return { gate: gateOf(actor), effectiveTime: timestampFromMs(byMs) };
    },
    resume: async ({ worldId, hold, reason }, context) => {
      const actor = worlds.get(worldId);
      const why = { principal: context.principal.name, reason };
      await resumeWorld(actor, ports, holds.fromProto(hold, "hold"), why);
      return { gate: gateOf(actor) };
    },
  };
}

/** Handlers that switch a strategy off, or change its weight, freeze or drain. */
function activationChanges(
  worlds: Worlds,
): Pick<Handlers<typeof ActivationService>, "deactivate" | "updateActivation"> {
  const { ports } = worlds;
  return {
    deactivate: async (request, context) => {
      const { worldId, strategyId, etag, reason } = request;
      const actor = worlds.get(worldId);
      const byMs = await updateActivation(actor, ports, {
        strategyId,
        sides: sidesFromProto(request.side),
        change: { active: false },
        etag,
        reason,
        principal: context.principal.name,
      });
      // Off already, perhaps only just: a lease granted before may last as long as the longest.
      const effectiveTime = timestampFromMs(byMs ?? ports.clock.nowMs() + actor.row.maxLeaseMs);
      return { activations: envelopesOf(actor, strategyId), effectiveTime };
    },
    updateActivation: async (request, context) => {
      const { worldId, strategyId, weight, freeze, drain, etag, reason } = request;
      const actor = worlds.get(worldId);
      const byMs = await updateActivation(actor, ports, {
        strategyId,
        sides: request.sides.map((side, at) => sides.fromProto(side, `sides[${at}]`)),
        change: {
          ...(weight === undefined ? {} : { weight }),
          ...(freeze === undefined ? {} : { freeze }),
          ...(drain === undefined ? {} : { drain }),
        },
        etag,
        reason,
        principal: context.principal.name,
      });
      return {
        activations: envelopesOf(actor, strategyId),
        ...(byMs === undefined ? {} : { effectiveTime: timestampFromMs(byMs) }),
      };
    },
  };
}

/** Both sides of a strategy under one etag. */
function envelopesOf(actor: WorldActor, strategyId: string): ActivationEnvelope[] {
  const { worldId } = actor;
  const etag = activationEtag(actor, strategyId);
  return activationsOf(actor, strategyId).map((a) =>
    create(ActivationEnvelopeSchema, { worldId, activation: activationToProto(a), etag }),
  );
}

function checkKnown(actor: WorldActor, strategyId: string): void {
  const isBound = actor.state.bindings.get(strategyId)?.removed === false;
  if (isBound || activationsOf(actor, strategyId).length > 0) return;
  throw new QmtlError("STRATEGY_NOT_FOUND", `${strategyId} is not bound to ${actor.worldId}`, {
    metadata: { world_id: actor.worldId, strategy_id: strategyId },
  });
}

/** Refuses to switch a strategy on and off at once. @throws {QmtlError} INVALID_FIELD */
function checkOneWay({ plan }: ApplyRequest): void {
  const at = plan?.deactivate.findIndex((id) => plan.activate.includes(id)) ?? -1;
  if (at < 0) return;
  const description = `${plan?.deactivate[at]} is to be activated, too`;
  throw new QmtlError("INVALID_FIELD", `plan.deactivate[${at}]: ${description}`, {
    fields: [{ field: `plan.deactivate[${at}]`, description }],
  });
}

function orderFromProto(request: ApplyRequest, context: CallContext): ApplyOrder {
  checkOneWay(request);
  return {
    runId: request.runId,
    target: stages.fromProto(request.targetMode, "target_mode"),
    activate: request.plan?.activate ?? [],
    deactivate: request.plan?.deactivate ?? [],
    excluded: request.excludeSessions,
    gatingDocument: request.gatingPolicy?.document ?? "",
    allowLive: request.allowLive,
    hasPassedLiveGuard: context.metadata.get(liveGuardHeader) === "passed",
    principal: context.principal.name,
    reason: request.reason,
    planId: context.metadata.get(applyPlanHeader),
  };
}

function stepToProto({ stored, phase }: RunStep) {
  const { run } = stored;
  const isRolledBack = phase.state === "ROLLED_BACK";
  const hasSwitched = phase.state !== "FREEZING" && !isRolledBack;
  return {
    runId: run.runId,
    phase: phaseToProto(phase.state),
    fence: BigInt(run.fence),
    revision: BigInt(phase.revision),
    elapsed: durationFromMs(phase.elapsedMs),
    sessions: phase.sessions,
    acknowledged: phase.acknowledged,
    waitingSessions: phase.waiting.map(({ sessionId, origin }) => ({
      sessionId,
      ...originField(origin),
    })),
    reason: isRolledBack ? (run.reason ?? "") : "",
    activations: hasSwitched ? run.plan.activations.map(activationToProto) : [],
  };
}

function runToProto(worldId: string, stored: StoredRun): ApplyRun {
  const { run, phases, principal, createdMs } = stored;
  return create(ApplyRunSchema, {
    runId: run.runId,
    worldId,
    phase: phaseToProto(run.state),
    fence: BigInt(run.fence),
    resumeCount: run.resumeCount,
    reason: run.reason ?? "",
    createTime: timestampFromMs(createdMs),
    phases: phases.map(({ state, elapsedMs }) => ({
      phase: phaseToProto(state),
      elapsed: durationFromMs(elapsedMs),
    })),
    principal,
  });
}

/** Unspecified means both sides: the safe reading for what switches off. */
function sidesFromProto(side: Side): readonly PositionSide[] {
  return side === Side.UNSPECIFIED ? ["long", "short"] : [sides.fromProto(side, "side")];
}

function notFreezable(): QmtlError {
  const description = "must be manual or breaker: a rollback sets its own hold";
  return new QmtlError("INVALID_FIELD", `hold ${description}`, {
    fields: [{ field: "hold", description }],
  });
}
