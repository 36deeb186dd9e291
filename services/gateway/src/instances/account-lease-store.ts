import { fileURLToPath } from "node:url";
import { applyMigrations, type Db, type Queryable, readMigrations } from "@qmtl/service-kit/db";
import type { SqlWrite } from "../store/writes.ts";
import type { WatchedLeases } from "./lease-watch.ts";

/** The process that takes accounts. */
export interface GatewayProcess {
  /** Unique for ever. */
  readonly holder: string;
  /** `gateway.id` of its configuration. */
  readonly gatewayId: string;
  readonly host: string;
  readonly pid: number;
  /** When it started, milliseconds since the epoch. */
  readonly startTimeMs: number;
  /** What it is configured with; see `settingsText`. @default not stated */
  readonly settings?: string;
}

/** Who holds an account. */
export interface AccountHolder extends GatewayProcess {
  readonly accountId: string;
  /** Raised each time the account is taken. */
  readonly epoch: number;
  /** Milliseconds until its lease ends unless it renews; 0 or less when it has ended. */
  readonly remainingMs: number;
  /** When its lease ends, as text that every renewal changes. */
  readonly expireTime: string;
  /** Its holder has given it back: nobody need wait for it. */
  readonly isGivenBack: boolean;
}

/** Epochs of the accounts a gateway holds. */
export type AccountEpochs = ReadonlyMap<string, number>;

interface TakeOptions {
  /** How long the lease lasts, milliseconds. */
  readonly leaseMs: number;
  /** Take it from whoever holds it; only where no other process can be alive. @default false */
  readonly force?: boolean;
  /**
   * Of leases that were not given back only these are taken, and only as they were seen: account → epoch and
   * `expireTime`. @default every lease that has ended
   */
  readonly silent?: WatchedLeases;
}

/** End of a lease that its holder has given back. */
const givenBack = "to_timestamp(0)";

const migrations = fileURLToPath(new URL("../../migrations-leases", import.meta.url));

/** Makes the table of account leases. */
export async function migrateAccountLeases(db: Db): Promise<void> {
  await applyMigrations(db, "account_lease", await readMigrations(migrations));
}

/** Takes all of the accounts or none: undefined when another process holds one of them. */
export async function takeAccounts(
  db: Db,
  accountIds: readonly string[],
  process: GatewayProcess,
  options: TakeOptions,
): Promise<AccountEpochs | undefined> {
  const { holder, gatewayId, host, pid, startTimeMs, settings = "" } = process;
  // In one order everywhere, so that two gateways do not wait for each other.
  const ids = [...accountIds].sort();
  try {
    return await db.transaction(async (tx) => {
      const taken = new Map<string, number>();
      for (const accountId of ids) {
        const [row] = await tx.query<{ epoch: number }>(
          `INSERT INTO gateway.account_lease AS l
             (account_id, epoch, holder, gateway_id, host, pid, start_time_ms, expire_time, settings)
           VALUES ($1, 1, $2, $3, $4, $5, $6, now() + $7 * interval '1 millisecond', $10)
           ON CONFLICT (account_id) DO UPDATE SET epoch = l.epoch + 1, holder = excluded.holder,
             gateway_id = excluded.gateway_id, host = excluded.host, pid = excluded.pid,
             start_time_ms = excluded.start_time_ms, expire_time = excluded.expire_time,
             settings = excluded.settings
           WHERE $8::boolean OR l.expire_time <= now()
             AND ($9::text IS NULL OR l.expire_time = ${givenBack} OR l.epoch || ' ' || l.expire_time = $9)
           RETURNING epoch`,
          [
            accountId,
            holder,
            gatewayId,
            host,
            pid,
            startTimeMs,
            options.leaseMs,
            options.force === true,
            options.silent === undefined ? null : (options.silent.get(accountId) ?? ""),
            settings,
          ],
        );
        if (row === undefined) throw new AccountHeldError();
        taken.set(accountId, row.epoch);
      }
      return taken;
    });
  } catch (failure) {
    if (failure instanceof AccountHeldError) return undefined;
    throw failure;
  }
}

/** Rolls back when not all accounts could be taken. */
class AccountHeldError extends Error {
  override readonly name = "AccountHeld";
}

/**
 * Extends the leases; false when another process has taken one. A lease that only ran out is still the holder's own.
 */
export async function renewAccounts(
  db: Queryable,
  epochs: AccountEpochs,
  leaseMs: number,
): Promise<boolean> {
  const renewed = await db.query(
    `UPDATE gateway.account_lease AS l SET expire_time = now() + $3 * interval '1 millisecond'
     FROM unnest($1::text[], $2::bigint[]) AS held (account_id, epoch)
     WHERE l.account_id = held.account_id AND l.epoch = held.epoch RETURNING l.account_id`,
    [[...epochs.keys()], [...epochs.values()], leaseMs],
  );
  return renewed.length === epochs.size;
}

/** Ends the leases at once; what another has taken meanwhile stays its own. Rows stay, for their epochs. */
export async function releaseAccounts(db: Queryable, epochs: AccountEpochs): Promise<void> {
  await db.query(
    `UPDATE gateway.account_lease AS l SET expire_time = ${givenBack}
     FROM unnest($1::text[], $2::bigint[]) AS held (account_id, epoch)
     WHERE l.account_id = held.account_id AND l.epoch = held.epoch`,
    [[...epochs.keys()], [...epochs.values()]],
  );
}

/** Who holds the accounts, or held them last, ordered by account; none for one that nobody ever held. */
export async function readAccountHolders(
  db: Queryable,
  accountIds: readonly string[],
): Promise<AccountHolder[]> {
  return db.query<AccountHolder>(
    `SELECT account_id AS "accountId", epoch, holder, gateway_id AS "gatewayId", host, pid,
       start_time_ms AS "startTimeMs", settings,
       ceil(extract(epoch FROM expire_time - now()) * 1000)::bigint AS "remainingMs",
       expire_time::text AS "expireTime", expire_time = ${givenBack} AS "isGivenBack"
     FROM gateway.account_lease WHERE account_id = ANY($1::text[]) ORDER BY account_id`,
    [[...accountIds]],
  );
}

/**
 * An SQL expression that is true while all the epochs stand. Until its transaction ends nobody takes the accounts; the
 * holder's own renewals do not wait for it.
 */
export function epochsStand(epochs: AccountEpochs): SqlWrite {
  return {
    sql: `((SELECT count(*) FROM (SELECT FROM gateway.account_lease AS l
        JOIN unnest($1::text[], $2::bigint[]) AS own (account_id, epoch) USING (account_id, epoch)
        FOR KEY SHARE OF l) AS held) = $3::int)`,
    params: [[...epochs.keys()], [...epochs.values()], epochs.size],
  };
}
