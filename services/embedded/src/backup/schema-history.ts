import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import { migrateTopics } from "@qmtl/service-kit/control";
import {
  applyMigrations,
  type Migration,
  readMigrations,
  STORE_FORMAT,
} from "@qmtl/service-kit/db";
import { migrateOutbox } from "@qmtl/service-kit/outbox";
import { BackupError } from "./backup-error.ts";
import type { ArchivedSchema, Manifest } from "./manifest.ts";
import type { Store } from "./open-store.ts";
import { platformSchemas } from "./store-tables.ts";

/** Where each service keeps the migrations of its schema. */
const folders = [
  { schema: "dag", component: "service", folder: "@qmtl/dag-manager", name: "migrations" },
  { schema: "world", component: "service", folder: "@qmtl/world-service", name: "migrations" },
  { schema: "gateway", component: "service", folder: "@qmtl/gateway", name: "migrations" },
  { schema: "gateway", component: "orders", folder: "@qmtl/gateway", name: "migrations-orders" },
  {
    schema: "gateway",
    component: "control_event",
    folder: "@qmtl/gateway",
    name: "migrations-events",
  },
  {
    schema: "gateway",
    component: "account_lease",
    folder: "@qmtl/gateway",
    name: "migrations-leases",
  },
  { schema: "paper", component: "paper", folder: "@qmtl/gateway", name: "migrations-paper" },
] as const;

/** The migrations of one component of a schema. */
interface KnownHistory {
  readonly schema: string;
  readonly component: string;
  readonly migrations: readonly Migration[];
}

/**
 * What this version knows of the services' own tables. The kit's own (outbox, topics and bus) are known to the kit
 * alone.
 */
export function knownMigrations(): Promise<KnownHistory[]> {
  return Promise.all(
    folders.map(async ({ schema, component, folder, name }) => {
      const path = fileURLToPath(new URL(`../${name}`, import.meta.resolve(folder)));
      return { schema, component, migrations: await readMigrations(path) };
    }),
  );
}

/**
 * @throws {BackupError} BACKUP_UNSUPPORTED when the archive's tables are newer than this version's, or differ from
 *   them.
 */
export function refuseUnknown(manifest: Manifest, known: readonly KnownHistory[]): void {
  const made = `the backup was made by version ${manifest.product_version}`;
  for (const { name: schema, migrations } of manifest.schemas) {
    if (!platformSchemas.some((each) => each === schema))
      throw new BackupError(
        "BACKUP_UNSUPPORTED",
        `${made}, whose schema ${schema} is not known here`,
      );
    const format = migrations.find(({ component }) => component === STORE_FORMAT.component);
    if (format?.version !== STORE_FORMAT.version) {
      const message = `${made}, whose stored messages this version cannot read`;
      throw new BackupError("BACKUP_UNSUPPORTED", message);
    }
    for (const { component, version, name, sha256 } of migrations) {
      if (
        component === STORE_FORMAT.component ||
        component === "outbox" ||
        component === "topics" ||
        (schema === "bus" && component === "bus")
      )
        continue;
      const history = known.find((each) => each.schema === schema && each.component === component);
      const step = history?.migrations[version - 1];
      const label = `${schema}, ${component} ${version} (${name})`;
      if (step === undefined) {
        const message = `${made}, whose tables are newer: ${label} is not known here`;
        throw new BackupError("BACKUP_UNSUPPORTED", message);
      }
      if (step.name !== name || sha256Of(step) !== sha256) {
        throw new BackupError("BACKUP_UNSUPPORTED", `${made}, whose tables differ: ${label}`);
      }
    }
  }
}

/**
 * Makes the tables an archive has, at the archive's own versions, and those that every platform has. The archive's
 * migrations must be known: see `refuseUnknown`.
 */
export async function makeTables(
  store: Store,
  schemas: readonly ArchivedSchema[],
  known: readonly KnownHistory[],
): Promise<void> {
  for (const { name: schema, migrations } of schemas) {
    const db = store.db(schema);
    for (const component of new Set(migrations.map((each) => each.component))) {
      const count = migrations.filter((each) => each.component === component).length;
      const history = known.find((each) => each.schema === schema && each.component === component);
      if (component === STORE_FORMAT.component) continue;
      if (component === "outbox") await migrateOutbox(db);
      else if (component === "topics") await migrateTopics(db);
      else if (history === undefined) await (await openEmbeddedBus({ db })).close();
      else await applyMigrations(db, component, history.migrations.slice(0, count));
    }
  }
  for (const { schema, component, migrations } of known) {
    if (component !== "service" || schemas.some(({ name }) => name === schema)) continue;
    await applyMigrations(store.db(schema), component, migrations);
    await migrateOutbox(store.db(schema));
    await migrateTopics(store.db(schema));
  }
}

/** Brings the services' own tables to this version, as their next start would. */
export async function bringUpToDate(
  store: Store,
  schemas: readonly ArchivedSchema[],
  known: readonly KnownHistory[],
): Promise<void> {
  for (const { schema, component, migrations } of known) {
    const there = schemas.find(({ name }) => name === schema)?.migrations ?? [];
    if (!there.some((each) => each.component === component)) continue;
    await applyMigrations(store.db(schema), component, migrations);
  }
}

function sha256Of({ sql }: Migration): string {
  return createHash("sha256").update(sql.replaceAll("\r\n", "\n")).digest("hex");
}
