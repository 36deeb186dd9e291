import { randomUUID } from "node:crypto";
import { restoreQueues } from "@qmtl/dag-manager";
import { type Clock, silentLogger } from "@qmtl/service-kit";
import { raiseStoreEpoch } from "@qmtl/service-kit/control";
import { restoreWorlds } from "@qmtl/world-service";
import type { Manifest } from "./manifest.ts";
import type { Store } from "./open-store.ts";

export interface RaiseOptions {
  readonly manifest: Manifest;
  /** The bus the restored platform will have. */
  readonly bus: Manifest["bus"];
  readonly clock: Clock;
  readonly principal: string;
  readonly reason: string;
}

/** Where the restored platform goes on. */
export interface Raised {
  /** Epochs are above this. */
  readonly floor: number;
  readonly worlds: Awaited<ReturnType<typeof restoreWorlds>>;
  /** The history of control events was left behind: its positions are those of another bus. */
  readonly isEventHistoryDropped: boolean;
}

/**
 * Makes a store that was loaded, and migrated to this version, safe to start on: what the future that is lost handed
 * out is believed no more. Epochs of queues, fences of worlds, and the store epochs of worlds and topics lie above any
 * that were seen; every world is held.
 */
export async function raiseAboveLost(store: Store, options: RaiseOptions): Promise<Raised> {
  const { manifest, bus, clock, principal, reason } = options;
  const floor = await restoreQueues({ db: store.db("dag"), clock });
  const isEventHistoryDropped = manifest.bus !== bus || bus === "kafka";
  await store.db("gateway").transaction(async (tx) => {
    await raiseStoreEpoch(tx, "gateway", floor);
    if (isEventHistoryDropped && hasTable(manifest, "control_event")) {
      // A gateway leaves out what is not above the newest position it has written; it reads anew what the bus has.
      await tx.query("delete from gateway.control_event");
    }
  });
  const ports = { db: store.db("world"), clock, logger: silentLogger, newId: () => randomUUID() };
  const worlds = await restoreWorlds({ ...ports, principal, reason });
  return { floor, worlds, isEventHistoryDropped };
}

function hasTable(manifest: Manifest, name: string): boolean {
  return manifest.tables.some((table) => table.schema === "gateway" && table.name === name);
}
