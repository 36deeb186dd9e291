import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EffectiveMode, Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  type ActivationEnvelope,
  ActivationEnvelopeSchema,
  type ActivationService,
  type ApplyRequest,
  type ApplyRun,
  ApplyRunSchema,
} from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import type { Hold } from "@qmtl/sdk/gate";
import type { CallContext, Handlers } from "@qmtl/service-kit";
import { activationToProto, gateToProto, phaseToProto } from "../bus/gate-to-proto.ts";
import type { Stage } from "../policy/policy.ts";
import { followRun, type RunStep } from "../promote/follow-run.ts";
import { cancelApply, findRun, freezeWorld, resumeWorld } from "../promote/hold-world.ts";
import { activationEtag, setActivation } from "../promote/set-activation.ts";
import { type ApplyOrder, startApply } from "../promote/start-apply.ts";
import { readRuns, type StoredRun } from "../store/gate-table.ts";
import type { WorldActor } from "../world/world-actor.ts";
import type { Worlds } from "../world/worlds.ts";
import { mayOperate, pageSizeDefault } from "./world-handlers.ts";

/** Header in which a gateway says that its live guard let a call pass. */
export const liveGuardHeader = "x-qmtl-live-guard";

/** ActivationService on the wire. */
export function activationHandlers(worlds: Worlds): Handlers<typeof ActivationService> {
  const { ports } = worlds;
  const gateOf = (actor: WorldActor) => gateToProto(actor.row, actor.state.holdReasons);
  return {
    getActivation: async ({ worldId, strategyId }) => {
      const actor = worlds.get(worldId);
      return { gate: gateOf(actor), activations: envelopesOf(actor, strategyId) };
    },
    setActivation: async (request, context) => {
      mayOperate(context);
      const { worldId, strategyId, active, weight, freeze, drain, etag, reason } = request;
      const side = sideFromProto(request.side);
      const principal = context.principal.name;
      const wish = { strategyId, side, active, weight, freeze, drain, etag, reason, principal };
      const actor = worlds.get(worldId);
      const byMs = await setActivation(actor, ports, wish);
      return { activations: envelopesOf(actor, strategyId), effectiveBy: timestampFromMs(byMs) };
    },
    apply: async function* (request, context) {
      mayOperate(context);
      const actor = worlds.get(request.worldId);
      await startApply(actor, ports, orderFromProto(request, context));
      for await (const step of followRun(actor, ports, request.runId, context.signal)) {
        yield stepToProto(step);
      }
    },
    cancelApply: async ({ worldId, runId, reason }, context) => {
      mayOperate(context);
      const why = { principal: context.principal.name, reason };
      const stored = await cancelApply(worlds.get(worldId), ports, runId, why);
      return { run: runToProto(worldId, stored) };
    },
    getApplyRun: async ({ worldId, runId }) => ({
      run: runToProto(worldId, await findRun(worlds.get(worldId), ports, runId)),
    }),
    listApplyRuns: async ({ worldId, pageSize, pageToken }) => {
      worlds.get(worldId);
      const page = { size: pageSize || pageSizeDefault, before: Number(pageToken) || 0 };
      const { runs, next } = await readRuns(ports.db, worldId, page);
      const nextPageToken = next === 0 ? "" : String(next);
      return { runs: runs.map((stored) => runToProto(worldId, stored)), nextPageToken };
    },
    freeze: async ({ worldId, hold, reason }, context) => {
      mayOperate(context);
      const actor = worlds.get(worldId);
      const why = { principal: context.principal.name, reason };
      const byMs = await freezeWorld(actor, ports, hold === "breaker" ? "breaker" : "manual", why);
      return { gate: gateOf(actor), effectiveBy: timestampFromMs(byMs) };
    },
    resume: async ({ worldId, hold, reason }, context) => {
      mayOperate(context);
      const actor = worlds.get(worldId);
      const why = { principal: context.principal.name, reason };
      await resumeWorld(actor, ports, holdFromProto(hold), why);
      return { gate: gateOf(actor) };
    },
  };
}

function envelopesOf(actor: WorldActor, strategyId: string): ActivationEnvelope[] {
  const { worldId } = actor;
  return actor.row.activations
    .filter((a) => strategyId === "" || a.strategyId === strategyId)
    .map((a) => {
      const activation = activationToProto(a);
      return create(ActivationEnvelopeSchema, {
        worldId,
        activation,
        etag: activationEtag(worldId, a),
      });
    });
}

function orderFromProto(request: ApplyRequest, context: CallContext): ApplyOrder {
  return {
    runId: request.runId,
    target: stageFromProto(request.targetMode),
    activate: request.plan?.activate ?? [],
    deactivate: request.plan?.deactivate ?? [],
    excluded: request.excludeSessions,
    gatingDocument: request.gatingPolicy?.document ?? "",
    allowLive: request.allowLive,
    hasPassedLiveGuard: context.metadata.get(liveGuardHeader) === "passed",
    principal: context.principal.name,
    reason: request.reason,
  };
}

function stepToProto({ stored, phase }: RunStep) {
  const { run } = stored;
  const isRolledBack = phase.state === "ROLLED_BACK";
  const hasSwitched = phase.state !== "FREEZING" && !isRolledBack;
  return {
    runId: run.runId,
    phase: phaseToProto(phase.state),
    ok: !isRolledBack,
    fence: BigInt(run.fence),
    revision: BigInt(phase.revision),
    elapsedMs: phase.elapsedMs,
    sessions: phase.sessions,
    acknowledged: phase.acknowledged,
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
    phaseElapsedMs: phases.map((phase) => phase.elapsedMs),
    principal,
  });
}

function stageFromProto(mode: EffectiveMode): Stage | undefined {
  if (mode === EffectiveMode.VALIDATE) return "validate";
  if (mode === EffectiveMode.COMPUTE_ONLY) return "compute-only";
  if (mode === EffectiveMode.PAPER) return "paper";
  return mode === EffectiveMode.LIVE ? "live" : undefined;
}

function sideFromProto(side: Side): "long" | "short" | undefined {
  if (side === Side.LONG) return "long";
  return side === Side.SHORT ? "short" : undefined;
}

function holdFromProto(hold: string): Hold {
  return hold === "manual" || hold === "breaker" ? hold : "rollback";
}
