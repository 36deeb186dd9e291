import { existsSync } from "node:fs";
import { join } from "node:path";
import { type QmtlConfig, resolveSecret } from "@qmtl/sdk/config";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type Db, openPglite, openPostgres } from "@qmtl/service-kit/db";

/** Longest transaction, since a dump or a load is a single one, and longest statement in it, milliseconds. */
const transactionMsMax = 24 * 3_600_000;
const statementMsMax = 3_600_000;

/** All schemas of a platform in one database. */
export interface Store extends AsyncDisposable {
  db(schema: string): Db;
}

/** The database in a folder, created when it is missing. Throws DATA_FOLDER_LOCKED when a process has it open. */
export async function openFolder(dataDir: string): Promise<Store> {
  return openPglite({ dataDir, transactionMsMax });
}

/** The database of `storage.dsn`. Throws DB_UNAVAILABLE. */
export async function openServer(storage: QmtlConfig["storage"]): Promise<Store> {
  if (!storage.dsn) throw new QmtlError("CONFIG_INVALID", "storage.dsn is missing");
  const dsn = resolveSecret(storage.dsn);
  const open = new Map<string, Db>();
  await using opened = new AsyncDisposableStack();
  for (const schema of ["world", "dag", "gateway", "paper", "bus"]) {
    const connectionsMax = 2;
    const limits = { transactionMsMax, statementMsMax, connectionsMax };
    open.set(schema, opened.use(await openPostgres({ dsn, schema, ...limits })));
  }
  const all = opened.move();
  return { db: (schema) => open.get(schema)!, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** True when there is a database in the folder. */
export function holdsDatabase(dataDir: string): boolean {
  return existsSync(join(dataDir, "pgdata"));
}
