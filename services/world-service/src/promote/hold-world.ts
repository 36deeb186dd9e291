import type { Hold } from "@qmtl/core/gate";
import { QmtlError } from "@qmtl/sdk/rpc";
import { reassess } from "../decide/reassess.ts";
import { readRun, type StoredRun } from "../store/gate-table.ts";
import type { ServicePorts } from "../world/service-ports.ts";
import type { WorldActor } from "../world/world-actor.ts";

/** Who and why, for the audit. */
interface AuditReason {
  readonly principal: string;
  readonly reason: string;
}

/**
 * Freezes a world with a hold; a run in flight is rolled back with it. Resolves to the time by which the freeze is in
 * force at the latest, milliseconds since 1970.
 */
export function freezeWorld(
  actor: WorldActor,
  ports: ServicePorts,
  hold: Exclude<Hold, "rollback">,
  why: AuditReason,
): Promise<number> {
  return actor.exclusive(async () => {
    if (actor.row.holds.includes(hold)) return ports.clock.nowMs() + actor.row.maxLeaseMs;
    await actor.propose(() => ({ kind: "freeze", hold, reason: why.reason }), {
      principal: why.principal,
      audit: { type: "frozen", body: { hold, reason: why.reason } },
    });
    const byMs = ports.clock.nowMs() + actor.row.maxLeaseMs;
    await reassess(actor, ports, why.principal);
    return byMs;
  });
}

/** Removes a hold; removing the last one opens the gate, which must be CLOSED. */
export function resumeWorld(
  actor: WorldActor,
  ports: ServicePorts,
  hold: Hold,
  why: AuditReason,
): Promise<void> {
  return actor.exclusive(async () => {
    const resumed = await actor.proposeIf(
      // The hold of a rollback may be gone: an apply that opens the gate removes it.
      (row) =>
        row.holds.includes(hold) ? { kind: "resume", hold, reason: why.reason } : undefined,
      {
        principal: why.principal,
        audit: { type: "resumed", body: { hold, reason: why.reason } },
      },
    );
    if (resumed !== undefined) await reassess(actor, ports, why.principal);
  });
}

/**
 * Rolls a run back, unless it has reached UNFROZEN or ended before this call had its turn; resolves to the run as it
 * stands then.
 *
 * @throws {QmtlError} RUN_NOT_FOUND
 */
export function cancelApply(
  actor: WorldActor,
  ports: ServicePorts,
  runId: string,
  why: AuditReason,
): Promise<StoredRun> {
  return actor.exclusive(async () => {
    const reason = `cancelled: ${why.reason || "by the operator"}`;
    await actor.proposeIf(
      (row) =>
        actor.isRunInFlight && row.runId === runId ? { kind: "cancel", reason } : undefined,
      { principal: why.principal },
    );
    return findRun(actor, ports, runId);
  });
}

/** A run as it is stored. @throws {QmtlError} RUN_NOT_FOUND */
export async function findRun(
  actor: WorldActor,
  ports: ServicePorts,
  runId: string,
): Promise<StoredRun> {
  const stored = await readRun(ports.db, actor.worldId, runId);
  if (stored !== undefined) return stored;
  throw new QmtlError("RUN_NOT_FOUND", `world ${actor.worldId} has no run ${runId}`, {
    metadata: { run_id: runId },
  });
}
