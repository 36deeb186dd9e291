import { QmtlError } from "@qmtl/sdk/rpc";
import { UniqueViolation } from "@qmtl/service-kit/db";
import { newGateRow } from "../apply/index.ts";
import { appendGateEvent, appendRebalancingEvents } from "../bus/control-events.ts";
import { composeWorld } from "../decide/compose-decision.ts";
import { appendAllocation } from "../store/allocation-table.ts";
import { appendAudit } from "../store/audit-table.ts";
import { insertDecision } from "../store/decision-table.ts";
import { insertGate } from "../store/gate-table.ts";
import { type RequestKey, readRequest, writeRequest } from "../store/request-table.ts";
import type { WorldSettings } from "../store/world-rows.ts";
import { insertWorld, readRetired } from "../store/world-table.ts";
import { leaderMsDefault } from "../world/leadership.ts";
import { readWorldState } from "../world/read-world-state.ts";
import { storeError } from "../world/store-error.ts";
import { WorldActor } from "../world/world-actor.ts";
import { timersOf } from "../world/world-settings.ts";
import type { WorldState } from "../world/world-state.ts";
import type { Worlds } from "../world/worlds.ts";
import { checkSettings } from "./check-settings.ts";

/** A world to create. */
interface NewWorld {
  readonly settings: WorldSettings;
  readonly principal: string;
  /** Stored with the world, so that the same request again finds the world that it created. */
  readonly request?: RequestKey | undefined;
}

/**
 * Creates a world: gate OPEN, nothing active, no capital, and the edge from backtest to live cut. Fence and revision
 * are 1, or above those of a deleted world with the same id.
 *
 * @throws {QmtlError} WORLD_EXISTS; REQUEST_ID_REUSED for a request that was stored with other content
 */
export function createWorld(worlds: Worlds, wanted: NewWorld): Promise<WorldActor> {
  const { settings, principal, request } = wanted;
  checkSettings(settings);
  return worlds.across.run(async () => {
    const { db, clock, leadership, newId, poke } = worlds.ports;
    const { worldId } = settings;
    const nowMs = clock.nowMs();
    const known = request && (await readRequest(db, request, nowMs));
    if (known !== undefined)
      return worlds.find(known) ?? (await load(worlds, known)) ?? worlds.get(known);
    if (worlds.find(worldId) !== undefined) throw exists(worldId);
    const state = newState(settings, nowMs);
    const composition = composeWorld(state, [], nowMs);
    state.composition = composition;
    const ttlMs = settings.decisionTtlSeconds * 1000;
    const decision = { id: newId(), mode: composition.mode, ttlMs, expiresAtMs: nowMs + ttlMs };
    const { leaseMs } = timersOf(settings, false, leaderMsDefault);
    const retired = await readRetired(db, worldId);
    const storeEpoch = retired?.storeEpoch ?? 1;
    const fresh = newGateRow(worldId, decision, { storeEpoch, leaseMs });
    const block = {
      source: "domain:backtest",
      target: "domain:live",
      active: false,
      reason: "auto:cross-domain-block",
    };
    const revision = (retired?.revision ?? 0) + 1;
    const fence = (retired?.fence ?? 0) + 1;
    const row = { ...fresh, revision, fence, requiredRevision: revision, edges: [block] };
    try {
      await db.transaction(async (tx) => {
        await leadership.assertLeads(tx);
        await insertWorld(tx, state.world);
        await insertGate(tx, row);
        await insertDecision(tx, worldId, {
          decisionId: decision.id,
          composition,
          createdMs: nowMs,
        });
        const entry = { worldId, ratio: 0, strategies: {}, runId: "create" };
        await appendAllocation(tx, entry, principal, nowMs);
        const body = { settings };
        const event = { worldId, type: "world_created", principal, body, nowMs };
        await appendAudit(tx, { ...event, fence: row.fence, revision: row.revision });
        await appendGateEvent(tx, row, {}, { change: "decision", restrictive: false, nowMs });
        await appendRebalancingEvents(tx, [{ worldId, ratio: 0 }], nowMs);
        if (request !== undefined) await writeRequest(tx, request, worldId, nowMs);
      });
    } catch (error) {
      const isThere = error instanceof UniqueViolation && (await load(worlds, worldId));
      throw isThere ? exists(worldId) : storeError(error);
    }
    poke();
    const actor = new WorldActor(worlds.ports, state, { row, emitters: [] }, retired === undefined);
    worlds.add(actor);
    return actor;
  });
}

/** Loads a world that was stored by a commit with an unknown outcome. */
async function load(worlds: Worlds, worldId: string): Promise<WorldActor | undefined> {
  const stored = await readWorldState(worlds.ports.db, worldId);
  if (stored === undefined) return undefined;
  const actor = new WorldActor(worlds.ports, stored.state, stored, false);
  worlds.add(actor);
  return actor;
}

function newState(settings: WorldSettings, nowMs: number): WorldState {
  return {
    world: {
      settings,
      version: 1,
      stage: "validate",
      policyVersion: 0,
      allocation: 0,
      watermarkMs: null,
      createdMs: nowMs,
    },
    bindings: new Map(),
    heads: new Map(),
    policy: undefined,
    lastEvaluation: undefined,
    lastRun: undefined,
    holdReasons: {},
    composition: undefined,
  };
}

function exists(worldId: string): QmtlError {
  return new QmtlError("WORLD_EXISTS", `world ${worldId} exists`, {
    metadata: { world_id: worldId },
  });
}
