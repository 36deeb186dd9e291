import { type QmtlConfig, resolveSecret } from "@qmtl/sdk/config";
import { QmtlError } from "@qmtl/sdk/rpc";
import { DATABASE, EVENT_BUS, type OutageLog } from "@qmtl/service-kit";
import { type EventBus, openEmbeddedBus, openKafkaBus } from "@qmtl/service-kit/bus";
import { type Db, openPglite, openPostgres } from "@qmtl/service-kit/db";

/** Databases and bus of one process. */
export interface Storage {
  /** The database of a service, by its schema; each schema is opened once. */
  db(schema: string): Db;
  readonly bus: EventBus;
  /** Closes the bus, then the databases. */
  close(): Promise<void>;
}

const schemas = ["dag", "world", "gateway", "paper", "bus"] as const;

/**
 * Opens what `storage:` and `bus:` of the configuration name; whether servers answer is told to `outages`.
 * DATA_FOLDER_LOCKED when the folder is in use.
 */
export async function openStorage(config: QmtlConfig, outages: OutageLog): Promise<Storage> {
  await using opened = new AsyncDisposableStack();
  const dbs = new Map<string, Db>();
  if (config.storage.kind === "embedded") {
    const host = await openPglite({ dataDir: config.storage.data_dir });
    opened.defer(() => host.close());
    for (const schema of schemas) dbs.set(schema, host.db(schema));
  } else {
    if (!config.storage.dsn) throw new QmtlError("CONFIG_INVALID", "storage.dsn is missing");
    const dsn = resolveSecret(config.storage.dsn);
    const monitor = outages.monitor(DATABASE);
    for (const schema of schemas) {
      const db = await openPostgres({ dsn, schema, monitor });
      opened.defer(() => db.close());
      dbs.set(schema, db);
    }
  }
  const db = (schema: string): Db => {
    const found = dbs.get(schema);
    if (!found) throw new Error(`no database for schema ${schema}`);
    return found;
  };
  const bus =
    config.bus.kind === "kafka"
      ? await openKafkaBus({
          brokers: config.bus.brokers,
          clientId: "qmtl",
          topicPrefix: config.bus.topic_prefix,
          monitor: outages.monitor(EVENT_BUS),
        })
      : await openEmbeddedBus({ db: db("bus"), logger: outages.quiet() });
  opened.defer(() => bus.close());
  const all = opened.move();
  return { db, bus, close: () => all.disposeAsync() };
}
