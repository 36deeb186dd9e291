import { QmtlError } from "@qmtl/sdk/rpc";
import { appendPolicyEvent, appendRebalancingEvents } from "../bus/control-events.ts";
import { checkAccountSum } from "../capital/check-sums.ts";
import { reassess } from "../decide/reassess.ts";
import { appendAllocation } from "../store/allocation-table.ts";
import { appendAudit } from "../store/audit-table.ts";
import type { WorldRow } from "../store/world-rows.ts";
import { deleteWorld as deleteRows, updateWorld as updateRow } from "../store/world-table.ts";
import { auditOf } from "./audit-of.ts";
import { checkSettings } from "./check-settings.ts";
import type { WorldActor } from "./world-actor.ts";
import type { WorldSettings } from "./world-settings.ts";
import type { Worlds } from "./worlds.ts";

/** New settings of a world; the etag must be current. */
export interface WorldChange {
  readonly settings: WorldSettings;
  readonly allocation: number;
  readonly etag: string;
  readonly principal: string;
}

/** Changes a world. A mode it allows no longer is lowered at once. */
export function updateWorld(worlds: Worlds, change: WorldChange): Promise<WorldActor> {
  const { settings, allocation, principal } = change;
  checkSettings(settings, allocation);
  return worlds.across.run(async () => {
    const actor = worlds.get(settings.worldId);
    await actor.exclusive(async () => {
      const before = actor.state.world;
      if (change.etag !== String(before.version)) {
        throw new QmtlError("ETAG_MISMATCH", "the world was changed meanwhile", {
          metadata: { etag: String(before.version) },
        });
      }
      if (settings.clock !== before.settings.clock) {
        const fields = [{ field: "world.clock", description: "a world's clock does not change" }];
        throw new QmtlError("INVALID_FIELD", "the world is not valid", { fields });
      }
      checkAccountSum(worlds, settings.accountId, new Map([[settings.worldId, allocation]]));
      const world: WorldRow = { ...before, settings, allocation, version: before.version + 1 };
      const nowMs = worlds.ports.clock.nowMs();
      await actor.write(async (tx) => {
        await updateRow(tx, world);
        if (allocation !== before.allocation) {
          const entry = {
            worldId: actor.worldId,
            ratio: allocation,
            strategies: {},
            runId: "update",
          };
          await appendAllocation(tx, entry, principal, nowMs);
          const changed = { worldId: actor.worldId, ratio: allocation };
          await appendRebalancingEvents(tx, [changed], nowMs);
        }
        await appendAudit(
          tx,
          auditOf(actor, "world_updated", principal, nowMs, { settings, allocation }),
        );
      });
      actor.state.world = { ...actor.state.world, settings, allocation, version: world.version };
      await adoptLease(actor);
      if (!actor.isRunInFlight) await reassess(actor, worlds.ports, principal);
    });
    return actor;
  });
}

/** Deletes a world in which nothing is active. */
export function deleteWorld(worlds: Worlds, worldId: string, principal: string): Promise<void> {
  return worlds.across.run(async () => {
    const actor = worlds.get(worldId);
    await actor.exclusive(async () => {
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

async function adoptLease(actor: WorldActor): Promise<void> {
  const { leaseMs } = actor.timers;
  if (leaseMs === actor.row.leaseMs) return;
  await actor.propose(() => ({ kind: "set_lease", leaseMs }));
}
