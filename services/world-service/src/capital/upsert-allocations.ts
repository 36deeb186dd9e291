import { jcs } from "@qmtl/core/canonical";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Tx } from "@qmtl/service-kit/db";
import { appendRebalancingEvents, lastEmittedBatch } from "../bus/control-events.ts";
import { appendAllocation, writeShares } from "../store/allocation-table.ts";
import { appendAudit } from "../store/audit-table.ts";
import { hashText } from "../store/hash-text.ts";
import { readRequest, writeRequest } from "../store/request-table.ts";
import { auditOf } from "../world/audit-of.ts";
import { storeError } from "../world/store-error.ts";
import type { WorldActor } from "../world/world-actor.ts";
import { boundStrategies } from "../world/world-state.ts";
import type { Worlds } from "../world/worlds.ts";

/** Tolerance for floating-point error in a sum of shares. */
const shareTolerance = 1e-9;

/** A world's share of equity and how it is split. */
export interface WantedAllocation {
  readonly worldId: string;
  readonly ratio: number;
  /** Empty: unchanged; a strategy left out of a split that is not empty keeps the share in force. */
  readonly shares: ReadonlyMap<string, number>;
}

/** What a gateway executed before it set the allocations that result from it. */
interface ExecutedBatch {
  readonly batchId: string;
  /** Position changes; a world without any may be left out. */
  readonly deltasByWorld: Readonly<Record<string, number>>;
}

/** A change of allocations. */
interface AllocationChange {
  readonly allocations: readonly WantedAllocation[];
  /** The same id with the same content is carried out once. */
  readonly requestId: string;
  /** Of all allocations as they were read; empty: unconditional. */
  readonly etag: string;
  readonly principal: string;
  readonly reason: string;
  /** Absent: capital moved without a batch. */
  readonly batch?: ExecutedBatch | undefined;
}

/**
 * Sets allocations of any number of worlds in one transaction, once for each request id.
 *
 * @throws {QmtlError} REQUEST_ID_REUSED; ETAG_MISMATCH; what `checkAllocations` throws.
 */
export function upsertAllocations(worlds: Worlds, wanted: AllocationChange): Promise<void> {
  return worlds.across.run(async () => {
    const { db, clock } = worlds.ports;
    const nowMs = clock.nowMs();
    const { requestId } = wanted;
    const key = { scope: "UpsertAllocations", requestId, requestHash: hashOf(wanted) };
    if ((await readRequest(db, key, nowMs)) !== undefined) return;
    const current = allocationsEtag(listAllocations(worlds, ""));
    if (wanted.etag !== "" && wanted.etag !== current) {
      throw new QmtlError("ETAG_MISMATCH", "allocations were changed in the meantime", {
        metadata: { etag: current },
      });
    }
    checkAllocations(worlds, wanted.allocations);
    const worldIds = wanted.allocations.map((one) => one.worldId);
    // What is set for one strategy must not change what another has: a split is stored whole.
    const whole = wanted.allocations.map((one) =>
      one.shares.size === 0 ? one : withAllShares(worlds.get(one.worldId), one),
    );
    try {
      await db.transaction(async (tx) => {
        await worlds.ports.leadership.assertLeads(tx);
        for (const one of whole) await writeOne(tx, worlds.get(one.worldId), one, wanted, nowMs);
        await appendRebalancingEvents(tx, await changesOf(tx, wanted), nowMs);
        await writeRequest(tx, key, "done", nowMs);
      });
    } catch (error) {
      for (const worldId of worldIds) worlds.get(worldId).noteFailure(error);
      throw storeError(error);
    }
    worlds.ports.poke();
    for (const one of whole) adopt(worlds.get(one.worldId), one);
  });
}

/** Allocations in force, ordered by world. */
export function listAllocations(worlds: Worlds, worldId: string): WantedAllocation[] {
  const actors = worldId === "" ? worlds.all() : [worlds.get(worldId)];
  return actors.map((actor) => ({
    worldId: actor.worldId,
    ratio: actor.state.world.allocation,
    shares: new Map(boundStrategies(actor.state).map((b) => [b.strategyId, b.share])),
  }));
}

/** A wanted allocation with the share of every bound strategy: those left out keep their share in force. */
export function withAllShares(actor: WorldActor, wanted: WantedAllocation): WantedAllocation {
  const inForce = boundStrategies(actor.state).map((b) => [b.strategyId, b.share] as const);
  return { ...wanted, shares: new Map([...inForce, ...wanted.shares]) };
}

/** Refuses worlds that do not trade on the account that a plan is for. @throws {QmtlError} ALLOCATION_INVALID */
export function checkAccount(
  worlds: Worlds,
  accountId: string,
  allocations: readonly WantedAllocation[],
): void {
  for (const [index, { worldId }] of allocations.entries()) {
    const own = worlds.get(worldId).state.world.settings.accountId;
    if (own === accountId) continue;
    const named = own === "" ? "no account" : `account ${own}`;
    const message = `world ${worldId} trades on ${named}, not on ${accountId}`;
    throw invalid(message, `allocations[${index}].world_id`);
  }
}

/** The etag of allocations, which changes with their content. */
export function allocationsEtag(allocations: readonly WantedAllocation[]): string {
  return hashText(jcs(allocations.map(plain))).slice(7, 23);
}

/** Refuses allocations that sum above 1, per account or within a world. @throws {QmtlError} ALLOCATION_INVALID */
export function checkAllocations(worlds: Worlds, allocations: readonly WantedAllocation[]): void {
  const ids = allocations.map((one) => one.worldId);
  if (new Set(ids).size !== ids.length) throw invalid("a world may appear only once in a request");
  const byAccount = new Map<string, Map<string, number>>();
  for (const [index, one] of allocations.entries()) {
    const actor = worlds.get(one.worldId);
    checkSplit(actor, one, `allocations[${index}].strategies`);
    const { accountId } = actor.state.world.settings;
    const ratios = byAccount.get(accountId) ?? new Map<string, number>();
    byAccount.set(accountId, ratios.set(one.worldId, one.ratio));
  }
  for (const [accountId, ratios] of byAccount) checkAccountSum(worlds, accountId, ratios);
}

/** Refuses shares of one account's equity that would sum above 1. @throws {QmtlError} ALLOCATION_INVALID */
export function checkAccountSum(
  worlds: Worlds,
  accountId: string,
  wanted: ReadonlyMap<string, number>,
): void {
  if (accountId === "") return;
  const others = worlds
    .all()
    .map((actor) => actor.state.world)
    .filter((w) => w.settings.accountId === accountId && !wanted.has(w.settings.worldId));
  const sum = [...wanted.values(), ...others.map((w) => w.allocation)].reduce((a, b) => a + b, 0);
  if (sum <= 1 + shareTolerance) return;
  throw new QmtlError(
    "ALLOCATION_INVALID",
    `allocations of account ${accountId} would sum to ${sum}, above 1`,
    {
      fields: [{ field: "allocations", description: "must not exceed 1 in total for one account" }],
    },
  );
}

function checkSplit(actor: WorldActor, one: WantedAllocation, field: string): void {
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
  if (one.shares.size === 0) return;
  const sum = bound.reduce((total, b) => total + (one.shares.get(b.strategyId) ?? b.share), 0);
  if (sum <= 1 + shareTolerance) return;
  const kept = bound
    .filter((b) => b.share > 0 && !one.shares.has(b.strategyId))
    .map((b) => `${b.strategyName || b.strategyId} ${readable(b.share)}`);
  const why =
    kept.length === 0
      ? ""
      : `: strategies that are not named keep their share (${kept.join(", ")})`;
  throw invalid(`shares of world ${one.worldId} would sum to ${readable(sum)}${why}`, field);
}

async function writeOne(
  tx: Tx,
  actor: WorldActor,
  one: WantedAllocation,
  wanted: AllocationChange,
  nowMs: number,
): Promise<void> {
  const strategies = Object.fromEntries(one.shares);
  const { requestId, principal, reason } = wanted;
  const entry = { worldId: one.worldId, ratio: one.ratio, strategies, runId: requestId };
  await appendAllocation(tx, entry, principal, nowMs);
  await writeShares(tx, entry);
  const body = { ratio: one.ratio, strategies, request_id: requestId, reason };
  await appendAudit(tx, auditOf(actor, "world_allocation_upserted", principal, nowMs, body));
}

/** The changes to publish, each with the batch executed last: the request's, or else the one reported before. */
async function changesOf(tx: Tx, { allocations, batch }: AllocationChange) {
  const changes = [];
  for (const { worldId, ratio } of allocations) {
    const told =
      batch === undefined
        ? await lastEmittedBatch(tx, worldId)
        : { batchId: batch.batchId, deltas: batch.deltasByWorld[worldId] ?? 0 };
    changes.push({ worldId, ratio, batch: told });
  }
  return changes;
}

function adopt(actor: WorldActor, one: WantedAllocation): void {
  const { state } = actor;
  state.world = { ...state.world, allocation: one.ratio };
  for (const [strategyId, share] of one.shares) {
    const binding = state.bindings.get(strategyId);
    if (binding !== undefined) state.bindings.set(strategyId, { ...binding, ownShare: share });
  }
}

function hashOf({ allocations, batch }: AllocationChange): string {
  const executed = batch === undefined ? {} : { batch };
  return hashText(jcs({ allocations: allocations.map(plain), ...executed }));
}

function plain(one: WantedAllocation): Record<string, unknown> {
  return { world: one.worldId, ratio: one.ratio, shares: Object.fromEntries(one.shares) };
}

/** A share as people read it: 0.3333, not 0.33333333333333331. */
function readable(share: number): number {
  return Number(share.toPrecision(4));
}

function invalid(message: string, field = "allocations"): QmtlError {
  return new QmtlError("ALLOCATION_INVALID", message, {
    fields: [{ field, description: message }],
  });
}
