import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock } from "@qmtl/service-kit";
import { raiseStoreEpoch } from "@qmtl/service-kit/control";
import type { Db } from "@qmtl/service-kit/db";

/** A floor lies above every epoch that was ever issued, provided that epochs rise by less than this per second. */
const perSecondMax = 1_024;

/**
 * To be run once after a database was restored from a backup, before the service starts and with every runner stopped.
 * Afterwards the next epoch of every key, existing or new, lies above the floor: the wall clock in seconds × 1,024, so
 * above any epoch that was issued (Q20). Nobody holds a lease any more, and control events continue in a store epoch
 * above those that were seen. One transaction. Resolves to the floor.
 *
 * Rows that were published after the backup are gone; a runner that had read them must start over.
 *
 * @throws {QmtlError} NOT_LEADER when a DAG Manager runs.
 */
export function restoreQueues(options: {
  readonly db: Db;
  readonly clock: Clock;
}): Promise<number> {
  const { db, clock } = options;
  return db.transaction(async (tx) => {
    // A process that wants to lead waits until this transaction ends.
    await tx.query("lock table dag.leadership in exclusive mode");
    const leaders = await tx.query("select owner from dag.leadership where until > now()");
    if (leaders.length > 0) {
      throw new QmtlError("NOT_LEADER", "a DAG Manager is running; stop it first", {
        retryAfterMs: 500,
      });
    }
    const [row] = await tx.query<{ floor: number }>(
      `insert into dag.restore_floor as f (floor) values ($1)
       on conflict (only_row) do update set floor = greatest(f.floor + 1, excluded.floor) returning floor`,
      [Math.floor(clock.nowMs() / 1_000) * perSecondMax],
    );
    const { floor } = row!;
    await tx.query(
      `insert into dag.node_lease as l (compute_key, epoch) select compute_key, $1::bigint from dag.queue
       on conflict (compute_key) do update set epoch = greatest(l.epoch, excluded.epoch), session_id = null`,
      [floor],
    );
    await tx.query(
      `update dag.queue_head h set granted_epoch = l.epoch from dag.node_lease l
       where l.compute_key = h.compute_key`,
    );
    await raiseStoreEpoch(tx, "dag", floor);
    return floor;
  });
}
