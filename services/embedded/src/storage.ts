import { type QmtlConfig, resolveSecret } from "@qmtl/sdk/config";
import { QmtlError } from "@qmtl/sdk/rpc";
import { DATABASE, EVENT_BUS, type OutageLog } from "@qmtl/service-kit";
import {
  type EventBus,
  type EventSource,
  openDirectBus,
  openEmbeddedBus,
  openKafkaBus,
} from "@qmtl/service-kit/bus";
import {
  type Db,
  DbUnavailable,
  LostBackends,
  openPglite,
  openPostgres,
  type PgliteHost,
} from "@qmtl/service-kit/db";

/** Databases and bus of one process. */
export interface Storage {
  /** The database of a service, by its schema; each schema is opened once. */
  db(schema: string): Db;
  readonly bus: EventBus;
  /** Folder of the embedded databases; undefined where a server keeps them. */
  readonly folder: string | undefined;
  /**
   * Resolves when the embedded database is lost, which was logged by then: this process has to end. A database server
   * comes back.
   */
  readonly lost: Promise<DbUnavailable>;
  /** Closes the bus, then the databases. */
  close(): Promise<void>;
}

const schemas = ["dag", "world", "gateway", "paper", "bus"] as const;

/**
 * Opens what `storage:` and `bus:` of the configuration name, for all services in one process, which need no `direct`
 * bus, since one log is enough for them. Whether servers answer is recorded in `outages`. Throws DATA_FOLDER_LOCKED
 * when the folder is in use.
 */
export function openStorage(config: QmtlConfig, outages: OutageLog): Promise<Storage> {
  return opened(config, config.storage.data_dir, async (place) => {
    const { db, lost } = await openDatabases(place, schemas, outages);
    const bus =
      config.bus.kind === "kafka"
        ? await openKafka(config, outages)
        : await openEmbeddedBus({ db: db("bus"), logger: outages.quiet() });
    return { db, lost, bus };
  });
}

/** What a service in a process of its own keeps, and whose events it follows. */
interface ServiceStorage {
  /** Name of the service; part of the name of its folder. */
  readonly service: string;
  readonly schemas: readonly string[];
  /** Schema of its own log of events, in a database that other services may have schemas in, too. */
  readonly busSchema: string;
  /** Services whose events it follows where no broker carries them. */
  readonly peers: () => readonly EventSource[];
}

/**
 * As `openStorage`, for one service: an embedded database of its own, in the folder beside `storage.data_dir`, or its
 * schemas of the PostgreSQL at `storage.dsn`.
 */
export function openServiceStorage(
  config: QmtlConfig,
  outages: OutageLog,
  service: ServiceStorage,
): Promise<Storage> {
  return opened(config, serviceFolder(config, service.service), async (place) => {
    const { busSchema, peers } = service;
    const isKafka = config.bus.kind === "kafka";
    const own = isKafka ? service.schemas : [...service.schemas, busSchema];
    const { db, lost } = await openDatabases(place, own, outages);
    const bus = isKafka
      ? await openKafka(config, outages)
      : await openDirectBus({ db: db(busSchema), peers: peers(), logger: outages.quiet() });
    return { db, lost, bus };
  });
}

/** Folder of a service that has an embedded database of its own. */
export function serviceFolder(config: QmtlConfig, service: string): string {
  return `${config.storage.data_dir}-${service}`;
}

/** Where databases are opened, and what closes them again. */
interface StorageLocation {
  readonly storage: QmtlConfig["storage"];
  readonly dataDir: string;
  readonly stack: AsyncDisposableStack;
}

async function opened(
  { storage }: QmtlConfig,
  dataDir: string,
  open: (place: StorageLocation) => Promise<Pick<Storage, "db" | "lost" | "bus">>,
): Promise<Storage> {
  await using stack = new AsyncDisposableStack();
  const { db, lost, bus } = await open({ storage, dataDir, stack });
  stack.defer(() => bus.close());
  const all = stack.move();
  const folder = storage.kind === "embedded" ? dataDir : undefined;
  return { db, bus, folder, lost, close: () => all.disposeAsync() };
}

async function openDatabases(
  { storage, dataDir, stack }: StorageLocation,
  names: readonly string[],
  outages: OutageLog,
): Promise<Pick<Storage, "db" | "lost">> {
  const dbs = new Map<string, Db>();
  let lost: Promise<DbUnavailable> = never;
  if (storage.kind === "embedded") {
    const host = await openPglite({ dataDir });
    stack.defer(() => host.close());
    lost = whenLost(host, dataDir, outages);
    for (const schema of names) dbs.set(schema, host.db(schema));
  } else {
    if (!storage.dsn) throw new QmtlError("CONFIG_INVALID", "storage.dsn is missing");
    const dsn = resolveSecret(storage.dsn, { key: "storage.dsn" });
    const monitor = outages.monitor(DATABASE);
    const lostBackends = new LostBackends();
    for (const schema of names) {
      const db = await openPostgres({ dsn, schema, monitor, lostBackends });
      stack.defer(() => db.close());
      dbs.set(schema, db);
    }
  }
  await reportNewStore(dbs, storage.kind === "embedded" ? dataDir : "PostgreSQL", outages);
  const db = (schema: string): Db => {
    const found = dbs.get(schema);
    if (!found) throw new Error(`no database for schema ${schema}`);
    return found;
  };
  return { db, lost };
}

/** A database server is never lost: it comes back, and its connections are opened again. */
const never = new Promise<never>(() => {});

/** Reports the loss of an embedded database, in the log and to health, before anybody is refused for it. */
function whenLost(
  { failed }: PgliteHost,
  folder: string,
  outages: OutageLog,
): Promise<DbUnavailable> {
  const monitor = outages.monitorFolder(folder);
  return new Promise((resolve) => {
    const tell = () => {
      const { reason } = failed;
      monitor.failed(reason, outages.clock.monotonicMs());
      const why = reason instanceof Error ? reason.message : String(reason);
      resolve(new DbUnavailable(`the database of folder ${folder} was lost: ${why}`, reason));
    };
    if (failed.aborted) tell();
    else failed.addEventListener("abort", tell, { once: true });
  });
}

/**
 * Logs that a store is new: at the first start that is as it should be, but after a folder or a database was lost
 * nothing else would show it.
 */
async function reportNewStore(
  dbs: ReadonlyMap<string, Db>,
  place: string,
  outages: OutageLog,
): Promise<void> {
  const [any] = dbs.values();
  const names = [...dbs.keys()];
  const there = await any?.query<{ nspname: string }>(
    "select nspname from pg_namespace where nspname in (select jsonb_array_elements_text($1::jsonb))",
    [JSON.stringify(names)],
  );
  const missing = names.filter((name) => there?.every(({ nspname }) => nspname !== name));
  if (missing.length === 0) return;
  outages
    .quiet()
    .info(`a new store was created in ${place}; if there was one before, stop and restore it`, {
      schemas: missing,
    });
}

function openKafka({ bus }: QmtlConfig, outages: OutageLog): Promise<EventBus> {
  const { brokers, topic_prefix: topicPrefix } = bus;
  const monitor = outages.monitor(EVENT_BUS);
  return openKafkaBus({ brokers, clientId: "qmtl", topicPrefix, monitor });
}
