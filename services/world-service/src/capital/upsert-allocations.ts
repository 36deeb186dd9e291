import { jcs } from "@qmtl/sdk/canonical";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Tx } from "@qmtl/service-kit/db";
import { appendRebalancingEvents } from "../bus/control-events.ts";
import { appendAllocation, writeShares } from "../store/allocation-table.ts";
import { appendAudit } from "../store/audit-table.ts";
import { readRequest, writeRequest } from "../store/request-table.ts";
import { auditOf } from "../world/audit-of.ts";
import { hashText } from "../world/hash-text.ts";
import { storeError } from "../world/store-error.ts";
import type { WorldActor } from "../world/world-actor.ts";
import { boundStrategies } from "../world/world-state.ts";
import type { Worlds } from "../world/worlds.ts";
import { checkAccountSum } from "./check-sums.ts";
import { shareTolerance } from "./share-tolerance.ts";

/** A world's share of equity and how it is split. */
export interface WantedAllocation {
  readonly worldId: string;
  readonly ratio: number;
  /** Empty: unchanged; a strategy left out of a split that is not empty keeps its share. */
  readonly shares: ReadonlyMap<string, number>;
}

/** What stands behind a change of allocations. */
export interface AllocationOrder {
  readonly allocations: readonly WantedAllocation[];
  /** Idempotency key and the scope it is unique in. */
  readonly runId: string;
  readonly scope: string;
  readonly principal: string;
  readonly reason: string;
  /** Plan they come from, for the event. */
  readonly plan: { readonly planId: string; readonly deltas: number };
  readonly auditType: string;
}

/** Sets allocations of any number of worlds in one transaction. True when it was done before. */
export function upsertAllocations(worlds: Worlds, order: AllocationOrder): Promise<boolean> {
  return worlds.across.run(async () => {
    const { db, clock } = worlds.ports;
    const nowMs = clock.nowMs();
    const key = { scope: order.scope, requestId: order.runId, requestHash: hashOf(order) };
    const known = await readRequest(db, key, nowMs, "RUN_ID_REUSED");
    if (known !== undefined) return true;
    checkAllocations(worlds, order.allocations);
    try {
      await db.transaction(async (tx) => {
        await worlds.ports.leadership.assertLeads(tx);
        for (const one of order.allocations)
          await writeOne(tx, worlds.get(one.worldId), one, order, nowMs);
        await appendRebalancingEvents(tx, order.allocations, nowMs);
        await writeRequest(tx, key, "done", nowMs);
      });
    } catch (error) {
      for (const one of order.allocations) worlds.get(one.worldId).noteFailure(error);
      throw storeError(error);
    }
    worlds.ports.poke();
    for (const one of order.allocations) adopt(worlds.get(one.worldId), one);
    return false;
  });
}

/** Allocations as they stand, ordered by world. */
export function listAllocations(worlds: Worlds, worldId: string): WantedAllocation[] {
  const actors = worldId === "" ? worlds.all() : [worlds.get(worldId)];
  return actors.map((actor) => ({
    worldId: actor.worldId,
    ratio: actor.state.world.allocation,
    shares: new Map(boundStrategies(actor.state).map((b) => [b.strategyId, b.share])),
  }));
}

/** Changes with the content of allocations. */
export function allocationsEtag(allocations: readonly WantedAllocation[]): string {
  return hashText(jcs(allocations.map(plain))).slice(7, 23);
}

/** Refuses allocations that sum above 1, per account or within a world. @throws {QmtlError} ALLOCATION_INVALID */
export function checkAllocations(worlds: Worlds, allocations: readonly WantedAllocation[]): void {
  const ids = allocations.map((one) => one.worldId);
  if (new Set(ids).size !== ids.length) throw invalid("a world may stand in a request once");
  const byAccount = new Map<string, Map<string, number>>();
  for (const one of allocations) {
    const actor = worlds.get(one.worldId);
    checkSplit(actor, one);
    const { accountId } = actor.state.world.settings;
    const ratios = byAccount.get(accountId) ?? new Map<string, number>();
    byAccount.set(accountId, ratios.set(one.worldId, one.ratio));
  }
  for (const [accountId, ratios] of byAccount) checkAccountSum(worlds, accountId, ratios);
}

function checkSplit(actor: WorldActor, one: WantedAllocation): void {
  const bound = boundStrategies(actor.state);
  const unknown = [...one.shares.keys()].filter((id) => !bound.some((b) => b.strategyId === id));
  if (unknown.length > 0) {
    throw new QmtlError(
      "STRATEGY_NOT_FOUND",
      `not bound to ${one.worldId}: ${unknown.join(", ")}`,
      {
        metadata: { strategy_ids: unknown.join(",") },
      },
    );
  }
  const sum = bound.reduce((total, b) => total + (one.shares.get(b.strategyId) ?? b.share), 0);
  if (sum > 1 + shareTolerance) throw invalid(`shares of world ${one.worldId} would sum to ${sum}`);
}

async function writeOne(
  tx: Tx,
  actor: WorldActor,
  one: WantedAllocation,
  order: AllocationOrder,
  nowMs: number,
): Promise<void> {
  const strategies = Object.fromEntries(one.shares);
  const entry = { worldId: one.worldId, ratio: one.ratio, strategies, runId: order.runId };
  await appendAllocation(tx, entry, order.principal, nowMs);
  await writeShares(tx, entry);
  const body = { ratio: one.ratio, strategies, run_id: order.runId, reason: order.reason };
  await appendAudit(tx, auditOf(actor, order.auditType, order.principal, nowMs, body));
}

function adopt(actor: WorldActor, one: WantedAllocation): void {
  const { state } = actor;
  state.world = { ...state.world, allocation: one.ratio };
  for (const [strategyId, share] of one.shares) {
    const binding = state.bindings.get(strategyId);
    if (binding !== undefined) state.bindings.set(strategyId, { ...binding, share });
  }
}

function hashOf(order: AllocationOrder): string {
  return hashText(jcs({ allocations: order.allocations.map(plain), plan: order.plan }));
}

function plain(one: WantedAllocation): Record<string, unknown> {
  return { world: one.worldId, ratio: one.ratio, shares: Object.fromEntries(one.shares) };
}

function invalid(message: string): QmtlError {
  return new QmtlError("ALLOCATION_INVALID", message, {
    fields: [{ field: "allocations", description: message }],
  });
}
