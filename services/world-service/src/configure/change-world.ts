import { QmtlError } from "@qmtl/sdk/rpc";
import { type CallPrincipal, requireRole } from "@qmtl/service-kit";
import { appendPolicyEvent, appendRebalancingEvents } from "../bus/control-events.ts";
import { checkAccountSum } from "../capital/upsert-allocations.ts";
import { reassess } from "../decide/reassess.ts";
import { appendAudit } from "../store/audit-table.ts";
import type { WorldRow, WorldSettings } from "../store/world-rows.ts";
import { deleteWorld as deleteRows, updateWorld as updateRow } from "../store/world-table.ts";
import { auditOf } from "../world/audit-of.ts";
import type { WorldActor } from "../world/world-actor.ts";
import type { Worlds } from "../world/worlds.ts";
import { checkSettings } from "./check-settings.ts";

/** A change of a world's settings. */
interface WorldChange {
  readonly worldId: string;
  /** Makes the new settings from the current ones. */
  readonly change: (before: WorldSettings) => WorldSettings;
  /** Of the world as it was read; empty: unconditional. */
  readonly etag: string;
  readonly caller: CallPrincipal;
}

/**
 * Changes a world. A mode that it no longer allows is lowered at once.
 *
 * @throws {QmtlError} ROLE_REQUIRED when anybody but an owner allows live: live takes two people. Whoever may change a
 * world may take that back. ETAG_MISMATCH, INVALID_FIELD, TIMERS_INVALID, ALLOCATION_INVALID.
 */
export function updateWorld(worlds: Worlds, wanted: WorldChange): Promise<WorldActor> {
  const principal = wanted.caller.name;
  return worlds.across.run(async () => {
    const actor = worlds.get(wanted.worldId);
    await actor.exclusive(async () => {
      const before = actor.state.world;
      checkWorldEtag(actor, wanted.etag);
      const settings = wanted.change(before.settings);
      checkSettings(settings);
      if (settings.allowLive && !before.settings.allowLive) {
        requireRole({ principal: wanted.caller }, "owner");
      }
      const { allocation } = before;
      checkAccountSum(worlds, settings.accountId, new Map([[settings.worldId, allocation]]));
      const world: WorldRow = { ...before, settings, version: before.version + 1 };
      const nowMs = worlds.ports.clock.nowMs();
      await actor.write(async (tx) => {
        await updateRow(tx, world);
        await appendAudit(tx, auditOf(actor, "world_updated", principal, nowMs, { settings }));
      });
      actor.state.world = { ...actor.state.world, settings, version: world.version };
      await adoptLease(actor);
      if (!actor.isRunInFlight) await reassess(actor, worlds.ports, principal);
    });
    return actor;
  });
}

/**
 * Deletes a world.
 *
 * @throws {QmtlError} CONFLICT while a strategy is active or an apply is in progress; ETAG_MISMATCH.
 */
export function deleteWorld(
  worlds: Worlds,
  wanted: { readonly worldId: string; readonly etag: string; readonly principal: string },
): Promise<void> {
  const { worldId, etag, principal } = wanted;
  return worlds.across.run(async () => {
    const actor = worlds.get(worldId);
    await actor.exclusive(async () => {
      checkWorldEtag(actor, etag);
      const isActive = actor.row.activations.some((activation) => activation.active);
      if (isActive || actor.isRunInFlight) {
        throw new QmtlError("CONFLICT", `something is active in world ${worldId}`);
      }
      const nowMs = worlds.ports.clock.nowMs();
      await actor.write(async (tx) => {
        await appendAudit(tx, auditOf(actor, "world_deleted", principal, nowMs, {}));
        await deleteRows(tx, worldId);
        await appendPolicyEvent(tx, worldId, { version: 0, checksum: "", nowMs });
        await appendRebalancingEvents(tx, [{ worldId, ratio: 0 }], nowMs);
      });
    });
    await worlds.remove(worldId);
  });
}

/** The etag of a world, which changes with its settings; a world created again under the same id has another one. */
export function worldEtag({ createdMs, version }: WorldRow): string {
  return `${createdMs.toString(36)}-${version}`;
}

function checkWorldEtag(actor: WorldActor, etag: string): void {
  const current = worldEtag(actor.state.world);
  if (etag === "" || etag === current) return;
  throw new QmtlError("ETAG_MISMATCH", "the world was changed in the meantime", {
    metadata: { etag: current },
  });
}

async function adoptLease(actor: WorldActor): Promise<void> {
  const { leaseMs } = actor.timers;
  if (leaseMs === actor.row.leaseMs) return;
  await actor.propose(() => ({ kind: "set_lease", leaseMs }));
}
