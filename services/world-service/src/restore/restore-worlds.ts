import { QmtlError } from "@qmtl/sdk/rpc";
import { type Clock, type Leadership, type Logger, SoleLeadership } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import { freeze, type GateRow, isInFlight, makeProposal } from "../apply/index.ts";
import { readGate, readLastRun } from "../store/gate-table.ts";
import { raiseFloor } from "../store/restore-floor.ts";
import { readWorlds } from "../store/world-table.ts";
import { commitProposal } from "../world/gate-commit.ts";
import { serviceName, worldLeadership } from "../world/leadership.ts";
import type { ServicePorts } from "../world/service-ports.ts";

/** Longest lease there may be, milliseconds: one granted after the backup may be longer than the backup's row says. */
const leaseMsMax = 30_000;

export interface RestoreOptions {
  /** The restored database, its schema migrated, with no world service running on it. */
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A fresh id, unique for ever. */
  readonly newId: () => string;
  readonly principal: string;
  /** Why, for the audit and as the reason of the holds. */
  readonly reason: string;
}

/** The gate of a world after the restore. */
export interface RestoredWorld {
  readonly worldId: string;
  readonly storeEpoch: number;
  readonly fence: number;
  readonly revision: number;
}

/**
 * To be run once after a database was restored from a backup, before the service starts. Every world gets a new store
 * epoch and a fence above any that was ever issued (the wall clock in seconds × 1,024), a run in flight is rolled back,
 * and the world is held `manual` until it is resumed. So no subscriber is shown a lower epoch or fence than it has
 * seen, and no order leaves on a decision that the backup does not have. Each world is one transaction with its event
 * and audit; if it is interrupted, run it again.
 *
 * @throws {QmtlError} NOT_LEADER when a world service runs; CONFLICT when a world could not be written
 */
export async function restoreWorlds(options: RestoreOptions): Promise<RestoredWorld[]> {
  const { db, clock, logger, newId } = options;
  const leadership: Leadership =
    db.kind === "pglite"
      ? new SoleLeadership(clock, serviceName)
      : worldLeadership({ db, clock, logger, holder: newId() });
  await leadership.start(() => {});
  try {
    const ports = { db, clock, logger, leadership, poke: () => {}, newId };
    const floor = await db.transaction(async (tx) => {
      await leadership.assertLeads(tx);
      return raiseFloor(tx, clock.nowMs());
    });
    const restored: RestoredWorld[] = [];
    for (const { settings } of await readWorlds(db))
      restored.push(await restoreWorld(ports, settings.worldId, floor, options));
    return restored;
  } finally {
    await leadership.stop();
  }
}

async function restoreWorld(
  ports: ServicePorts,
  worldId: string,
  floor: number,
  { principal, reason }: RestoreOptions,
): Promise<RestoredWorld> {
  const { db } = ports;
  const gate = await readGate(db, worldId);
  if (gate === undefined) throw new Error(`world ${worldId} has no gate`);
  const lastRun = await readLastRun(db, worldId);
  const run = lastRun?.run ?? null;
  const frozen = freeze(gate.row, run, "manual", isInFlight(run));
  const row: GateRow = {
    ...frozen.row,
    storeEpoch: Math.max(gate.row.storeEpoch + 1, floor),
    fence: Math.max(frozen.row.fence, floor),
    // Whatever the backup says, the gate may have been open since.
    gate: "CLOSING",
    maxLeaseMs: leaseMsMax,
    requiredRevision: frozen.row.revision,
  };
  const proposal = makeProposal("freeze", gate.row, { row, run: frozen.run }, { reason });
  const { outcome, error } = await commitProposal(
    ports,
    proposal,
    {
      principal,
      change: "restore",
      audit: { type: "store_restored", body: { store_epoch: row.storeEpoch } },
    },
    { lastRun, holdReasons: gate.holdReasons, sessions: [] },
  );
  if (outcome !== "committed") {
    throw new QmtlError("CONFLICT", `world ${worldId} was not restored; run it again`, {
      cause: error,
      metadata: { world_id: worldId },
    });
  }
  const { storeEpoch, fence, revision } = row;
  return { worldId, storeEpoch, fence, revision };
}
