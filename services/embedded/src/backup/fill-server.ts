import { type QmtlConfig, resolveSecret } from "@qmtl/sdk/config";
import { QmtlError } from "@qmtl/sdk/rpc";
import { sleep, systemClock } from "@qmtl/service-kit";
import { type Db, openPostgres } from "@qmtl/service-kit/db";
import { BackupError } from "./backup-error.ts";
import { openServer, type Store } from "./open-store.ts";
import { fullName, quotedName, storeSchemas, storeTables } from "./store-tables.ts";
import { isUnfinished } from "./unfinished-mark.ts";

type Storage = QmtlConfig["storage"];

/**
 * Refuses a database that a service is connected to, or that holds data. What an interrupted restore has left does not
 * count.
 * @throws {BackupError} STORE_IN_USE, STORE_NOT_EMPTY
 */
export async function refuseUsedServer(storage: Storage): Promise<void> {
  await using db = await openOne(storage);
  await refuseUsed(db);
}

/** Fills the database of `storage.dsn`; what an interrupted restore has left in it is dropped first. */
export async function fillServer<T>(
  storage: Storage,
  fill: (store: Store) => Promise<T>,
): Promise<T> {
  {
    await using db = await openOne(storage);
    const left = await refuseUsed(db);
    if (left.length > 0) await db.script(`drop schema ${left.join(", ")} cascade`);
  }
  await using store = await openServer(storage);
  return await fill(store);
}

async function openOne(storage: Storage): Promise<Db> {
  if (!storage.dsn) throw new QmtlError("CONFIG_INVALID", "storage.dsn is missing");
  return openPostgres({ dsn: resolveSecret(storage.dsn), schema: "world", connectionsMax: 1 });
}

/** Resolves to the schemas that an interrupted restore has left. */
async function refuseUsed(db: Db): Promise<readonly string[]> {
  await refuseConnected(db);
  const tables = await storeTables(db);
  if (isUnfinished(await storeSchemas(db, tables))) {
    return [...new Set(tables.map(({ schema }) => schema))];
  }
  for (const table of tables.filter(({ isLeftOut }) => !isLeftOut)) {
    const rows = await db.query(`select 1 as one from ${quotedName(table)} limit 1`);
    if (rows.length === 0) continue;
    const message = `the database is not empty: ${fullName(table)} has rows`;
    throw new BackupError("STORE_NOT_EMPTY", message);
  }
  return [];
}

/** Pause between two looks at who is connected, milliseconds, and the most looks taken. */
const lookAgainMs = 100;
const looksMax = 20;

/**
 * The services name their connections. One that was just closed is listed a moment longer: only one that stays counts.
 */
async function refuseConnected(db: Db): Promise<void> {
  let names = "";
  for (let looks = 0; looks < looksMax; looks += 1) {
    if (looks > 0) await sleep(systemClock, lookAgainMs);
    const others = await db.query<{ name: string }>(
      `select distinct application_name as name from pg_stat_activity
       where datname = current_database() and application_name like 'qmtl-%' and pid <> pg_backend_pid()`,
    );
    if (others.length === 0) return;
    names = others.map(({ name }) => name).join(", ");
  }
  throw new BackupError("STORE_IN_USE", `services are connected to the database: ${names}`);
}
