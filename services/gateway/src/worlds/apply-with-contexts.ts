import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type ContextSwap, SwapPhase } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import { ApplyPhase } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { type ComputeContext, EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  ActivationService,
  type ApplyRequest,
  type ApplyResponse,
  type PlanApplyResponse,
  type StageChange,
} from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import { type CallContext, type CallPrincipal, failpoints, type Logger } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import { isTransient } from "../peers/breaker.ts";
import { callOf } from "../peers/forward.ts";
import type { Peer, PeerCall } from "../peers/peer.ts";
import { submissionsOf } from "../store/submission-store.ts";
import { contextAt } from "../submission/plan-contexts.ts";
import { type Promotion, promotionsOf } from "./promotion.ts";
import type { UnboundContexts } from "./unbound-contexts.ts";

/** Longest wait for the new contexts to be warm and agreed on, milliseconds. */
const openMsMax = 60_000;
/** Header from which WorldService reads the live guard's verdict. */
const liveGuardHeader = "x-qmtl-live-guard";
/** Header that says what the contexts were opened for: an apply that would switch anything else is refused. */
const applyPlanHeader = "x-qmtl-apply-plan";

export interface ApplyPorts {
  readonly db: Db;
  readonly world: Peer;
  readonly dag: Peer;
  readonly gateway: CallPrincipal;
  readonly logger: Logger;
  readonly unbound: Pick<UnboundContexts, "recheck">;
  /** `gateway.enforce_live_guard`. */
  readonly enforceLiveGuard: boolean;
}

/** Largest number of plans tried for a world that keeps changing; then the refusal is thrown. */
const plansMax = 3;

/**
 * Passes an apply on. WorldService decides what it switches, or refuses it, before anything is done here. Strategies
 * that rise to another domain first get their new compute contexts: opened, warmed and swapped in, so that nothing
 * switches to a context that cannot compute. If the apply is refused after all, or rolled back, they are swapped back.
 *
 * @throws {QmtlError} LIVE_NOT_ALLOWED without the caller's consent; CONTEXT_NOT_WARM.
 */
export async function* applyWithContexts(
  ports: ApplyPorts,
  request: ApplyRequest,
  context: CallContext,
): AsyncGenerator<ApplyResponse> {
  if (request.targetMode === EffectiveMode.LIVE && ports.enforceLiveGuard && !request.allowLive) {
    const message = "live needs the caller's explicit consent: allow_live";
    throw new QmtlError("LIVE_NOT_ALLOWED", message, { metadata: { missing: "allow_live" } });
  }
  for (let tries = 1; ; tries += 1) {
    const headers = guardHeaders(ports, request);
    const plan = await planOf(ports, request, { ...callOf(context), headers });
    const swaps = await openContexts(ports, request.worldId, plan.changes, context.signal);
    await failpoints.hit("gw.apply.after_contexts");
    if (plan.planId !== "") headers[applyPlanHeader] = plan.planId;
    let hasBegun = false;
    try {
      for await (const answer of passOn(ports, request, { context, headers, swaps })) {
        hasBegun = true;
        yield answer;
      }
      return;
    } catch (failure) {
      // The world changed between plan and apply: nothing was done, and the contexts were swapped back.
      const isOutdated = !hasBegun && plan.planId !== "" && hasReason(failure, "CONFLICT");
      if (!isOutdated || tries === plansMax) throw failure;
    }
  }
}

/**
 * Plan of an apply that WorldService refuses. No plan has this id, so if the apply is let through by then it is refused
 * as changed.
 */
const refusedPlan = { planId: "refused", changes: [] };

/**
 * What an apply would switch. One that the evaluation refuses is passed on all the same: WorldService judges it once
 * more, keeps the evaluation, which explains why, and refuses it.
 */
async function planOf(
  ports: ApplyPorts,
  apply: ApplyRequest,
  call: PeerCall,
): Promise<Pick<PlanApplyResponse, "planId" | "changes">> {
  try {
    return await ports.world.unary(ActivationService.method.planApply, { apply }, call);
  } catch (failure) {
    if (hasReason(failure, "MODE_NOT_REACHABLE")) return refusedPlan;
    throw failure;
  }
}

/** The apply itself, once its contexts are there. */
async function* passOn(
  ports: ApplyPorts,
  request: ApplyRequest,
  prepared: {
    readonly context: CallContext;
    readonly headers: Readonly<Record<string, string>>;
    readonly swaps: readonly ContextSwap[];
  },
): AsyncGenerator<ApplyResponse> {
  const { context, headers, swaps } = prepared;
  const call = { ...callOf(context), headers };
  let isRolledBack = false;
  try {
    for await (const answer of ports.world.stream(ActivationService.method.apply, request, call)) {
      isRolledBack ||= answer.phase === ApplyPhase.ROLLED_BACK;
      yield answer;
    }
  } catch (failure) {
    // Refused: no run exists. An outage leaves it open; the run is looked up when the caller asks again.
    const isRefused =
      failure instanceof QmtlError && !(await mayHaveBegun(ports, request, failure));
    if (isRefused) await swapBack(ports, swaps);
    throw failure;
  }
  if (isRolledBack) await swapBack(ports, swaps);
}

/** Tells WorldService that the gateway's live guard let the call pass: one of the three consents of live. */
function guardHeaders(ports: ApplyPorts, request: ApplyRequest): Record<string, string> {
  const hasPassed = request.allowLive || !ports.enforceLiveGuard;
  return hasPassed ? { [liveGuardHeader]: "passed" } : {};
}

async function mayHaveBegun(ports: ApplyPorts, request: ApplyRequest, failure: QmtlError) {
  const { worldId, runId } = request;
  if (isTransient(failure)) return true;
  const call: PeerCall = { principal: ports.gateway, timeoutMs: 2_000 };
  try {
    await ports.world.unary(ActivationService.method.getApplyRun, { worldId, runId }, call);
    return true;
  } catch (error) {
    return !hasReason(error, "RUN_NOT_FOUND");
  }
}

async function openContexts(
  ports: ApplyPorts,
  worldId: string,
  changes: readonly StageChange[],
  signal: AbortSignal,
): Promise<ContextSwap[]> {
  const promotions = promotionsOf(changes);
  if (promotions.length === 0) return [];
  const contexts = await contextsOf(ports.db, worldId, promotions);
  const opened = await Promise.allSettled(
    contexts.map(({ strategyId, to }) => openOne(ports, strategyId, to, signal)),
  );
  const swaps = opened.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const failed = opened.find((each) => each.status === "rejected");
  if (failed === undefined) return swaps;
  await swapBack(ports, swaps);
  throw failed.reason;
}

async function contextsOf(db: Db, worldId: string, promotions: readonly Promotion[]) {
  const rows = await submissionsOf(
    db,
    promotions.map(({ strategyId }) => strategyId),
  );
  return promotions.flatMap(({ strategyId, stage }) => {
    const row = rows.find(
      (each) => each.strategyId === strategyId && each.worldIds.includes(worldId),
    );
    // Bound by hand, never submitted here: there is nothing to compute.
    if (row === undefined) return [];
    return [{ strategyId, to: contextAt(worldId, stage, row.request) }];
  });
}

async function openOne(
  ports: ApplyPorts,
  strategyId: string,
  to: ComputeContext,
  signal: AbortSignal | undefined,
): Promise<ContextSwap> {
  const call = { principal: ports.gateway, signal, timeoutMs: openMsMax + 5_000 };
  const request = { strategyId, context: to, wait: durationFromMs(openMsMax) };
  const { swap } = await ports.dag.unary(QueueService.method.openContext, request, call);
  if (swap?.phase === SwapPhase.COMMIT) return swap;
  // The old context continues; opening it again ends the swap that did not complete.
  if (swap?.oldContext !== undefined) {
    const back = { strategyId, context: swap.oldContext };
    await ports.dag.unary(QueueService.method.openContext, back, { principal: ports.gateway });
  }
  const message = `the new context of ${strategyId} is not in force`;
  throw new QmtlError("CONTEXT_NOT_WARM", message, {
    metadata: { strategy_id: strategyId, phase: String(swap?.phase ?? SwapPhase.UNSPECIFIED) },
  });
}

/** Best effort: where it fails the new context stays, which computes the same with orders off. */
async function swapBack(ports: ApplyPorts, swaps: readonly ContextSwap[]): Promise<void> {
  await Promise.all(
    swaps.map(async ({ strategyId, oldContext, newContext }) => {
      const isChange =
        oldContext !== undefined && oldContext.executionDomain !== newContext?.executionDomain;
      if (!isChange) return;
      await openOne(ports, strategyId, oldContext, undefined).catch((error: unknown) => {
        ports.logger.warn("a context could not be swapped back", { strategyId, error });
      });
    }),
  );
  // A strategy that was unbound meanwhile has a context again, which must be closed again.
  const worldId = swaps[0]?.worldId ?? "";
  const strategyIds = swaps.map(({ strategyId }) => strategyId);
  await ports.unbound.recheck(worldId, strategyIds).catch((error: unknown) => {
    ports.logger.warn("contexts that were swapped back are not checked", { worldId, error });
  });
}
