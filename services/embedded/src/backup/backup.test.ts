import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { Gate, HoldKind } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { loadConfig, type QmtlConfig } from "@qmtl/sdk/config";
import { connectTo } from "@qmtl/sdk/rpc";
import { systemClock } from "@qmtl/service-kit";
import { type Db, openPglite, openPostgres } from "@qmtl/service-kit/db";
import { migrateOutbox } from "@qmtl/service-kit/outbox";
import { describePostgres, freePorts } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startPlatform } from "../start-platform.ts";
import { BackupError } from "./backup-error.ts";
import { checkFacts } from "./check-facts.ts";
import { fillFolder } from "./fill-folder.ts";
import { fillServer } from "./fill-server.ts";
import { loadArchive } from "./load-archive.ts";
import { type Manifest, manifestEntry } from "./manifest.ts";
import { restoreBackup, verifyBackup, verifyRestore } from "./restore-backup.ts";
import { knownMigrations, makeTables } from "./schema-history.ts";
import { fullName } from "./store-tables.ts";
import { readTar, type TarEntry, writeTar } from "./tar-file.ts";
import { markUnfinished } from "./unfinished-mark.ts";
import { writeBackup } from "./write-backup.ts";

const root = mkdtempSync(join(tmpdir(), "qmtl-backup-"));
const at = (name: string): string => join(root, name);
const archive = at("good.tgz");
let config: QmtlConfig;
let manifest: Manifest;

const signal = new AbortController().signal;
const quiet = { signal, onProgress: () => {} };
const inFolder = (name: string): QmtlConfig => ({
  ...config,
  storage: { ...config.storage, data_dir: at(name) },
});
const inDatabase = (dsn: string): QmtlConfig => {
  process.env.QMTL_BACKUP_TEST_DSN = dsn;
  return { ...config, storage: { ...config.storage, kind: "postgres", dsn: dsnRef } };
};
const dsnRef = { env: "QMTL_BACKUP_TEST_DSN" };
const backup = (from: QmtlConfig, path: string, more: object = {}) =>
  writeBackup({
    config: from,
    configText: "project: {name: kept}\n",
    path,
    productVersion: "0.1.0",
    clock: systemClock,
    ...quiet,
    ...more,
  });
const restore = (into: QmtlConfig, path = archive, more: object = {}) =>
  restoreBackup({
    config: into,
    path,
    principal: "ops",
    reason: "disk lost",
    clock: systemClock,
    ...quiet,
    ...more,
  });
const hashesOf = ({ tables }: Manifest): Record<string, string> =>
  Object.fromEntries(tables.map((table) => [fullName(table), `${table.rows} ${table.sha256}`]));

/** Values that a careless copy changes. */
async function addOddRows(db: Db): Promise<void> {
  const bytes = Uint8Array.from({ length: 256 }, (_, value) => value);
  const text = 'a\nb\t"c"\\ {"d"} \u{1f600} é';
  await db.transaction(async (tx) => {
    for (let entry = 1; entry <= 300; entry += 1) {
      await tx.query(
        `insert into gateway.journal values ('odd', $1, 'k', 'demo', 's', $1, $2, 1)`,
        [entry, `${text}${entry}`],
      );
    }
    await tx.query(
      `insert into gateway.account_snapshot values ('odd', 299, 0, $1), ('odd', 299, 1, $1)`,
      [text],
    );
    await tx.query(
      `insert into dag.node values ('n', 't', 60, $1::text[], 's', $2, 'sub', 9007199254740993)`,
      [[text, 'x,"y"', "", "NULL"], bytes],
    );
    await tx.query(
      `insert into dag.queue values ('k', 'n', 'q', 'demo', 'live', '', '{"s": "f"}', '', true, 60,
         '[{"name": "value", "kind": "f64"}]', '{}', 's', false, 'sub', 1)`,
    );
    await tx.query(
      `insert into dag.queue_head (compute_key, columns, source, is_source, next_offset, known_at_ms, watermark_ms)
       values ('k', 1, 's', true, 2, 0.1::float8 + 0.2::float8, 'NaN')`,
    );
    await tx.query(
      `insert into dag.queue_record values ('k', 0, 1, 1, 0, 1, 0, 0, 5e-324, $1), ('k', 1, 1, 1, 1, 1, 1, 1, '-0', '')`,
      [bytes],
    );
    await tx.query(
      `insert into gateway.order_world values ('w', 'main', '{"b": [1.50, null, "\\u00e9"], "a": 1e400}')`,
    );
  });
}

const platformYaml = (port: readonly number[]): string => `
accounts: {main: {instruments: [X]}}
sources: {day: {file: feed.csv, interval: 1d, start: 2020-03-20, until: start}}
instruments: {X: {lot: "0.1", mark_source: day}}
gateway: {port: ${port[0]}, web_port: ${port[1]}}
dag_manager: {port: ${port[2]}}
world_service: {port: ${port[3]}}
storage: {kind: embedded, data_dir: data}
telemetry: {log_level: silent}
`;

beforeAll(async () => {
  writeFileSync(at("qmtl.yml"), platformYaml(await freePorts(4)));
  writeFileSync(at("feed.csv"), "date,open,high,low,close\n2020-03-20,1,1,1,1\n");
  config = loadConfig({ path: at("qmtl.yml"), env: {} });
  const platform = await startPlatform(config);
  try {
    await using connection = connectTo(platform.addresses.gateway);
    const worlds = connection.client(WorldService);
    await worlds.createWorld({
      requestId: "world",
      world: { worldId: "demo", accountId: "main", clock: WorldClock.WALL },
    });
    const document = "hysteresis: {metric: sharpe, enter: 0.4, exit: -4}";
    await connection.client(PolicyService).createPolicy({
      worldId: "demo",
      document,
      requestId: "policy",
    });
  } finally {
    await platform.stop();
  }
  await using host = await openPglite({ dataDir: config.storage.data_dir });
  await addOddRows(host.db("gateway"));
  await host.close();
  manifest = await backup(config, archive);
}, 180_000);
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("a backup", () => {
  test("is one file for its owner alone, whole, and holds no secret", async () => {
    expect(statSync(archive).mode & 0o777).toBe(0o600);
    expect(readdirSync(root).filter((name) => name.includes("partial"))).toEqual([]);
    expect(await verifyBackup({ path: archive, ...quiet })).toEqual(manifest);
    const texts: string[] = [];
    for await (const { content } of readTar(archive)) texts.push(content.toString("utf8"));
    expect(texts.join("")).not.toMatch(/"d\\*":/);
    expect(manifest.left_out).toContain("gateway.ticket_key");
    expect(texts[1]).toBe("project: {name: kept}\n");
  });

  test("does not replace a file unless told to", async () => {
    writeFileSync(at("there.tgz"), "mine");
    const refused = backup(config, at("there.tgz"));
    await expect(refused).rejects.toMatchObject({ reason: "FILE_EXISTS" });
    expect(readFileSync(at("there.tgz"), "utf8")).toBe("mine");
    const meanwhile = { onProgress: () => writeFileSync(at("later.tgz"), "mine") };
    const late = backup(config, at("later.tgz"), meanwhile);
    await expect(late).rejects.toMatchObject({ reason: "FILE_EXISTS" });
    expect(readFileSync(at("later.tgz"), "utf8")).toBe("mine");
    const onto = backup(config, root, { replace: true });
    await expect(onto).rejects.toMatchObject({ reason: "FILE_UNUSABLE" });
    expect(readdirSync(root).filter((name) => name.includes("partial"))).toEqual([]);
  });

  test("of nothing is refused, and makes no folder", async () => {
    const none = backup(inFolder("none"), at("none.tgz"));
    await expect(none).rejects.toMatchObject({ reason: "STORE_EMPTY" });
    expect([existsSync(at("none")), existsSync(at("none.tgz"))]).toEqual([false, false]);
  });

  test("of services in processes of their own is refused, and tells their folders", async () => {
    for (const service of ["dag-manager", "world-service"]) {
      mkdirSync(at(`split-${service}/pgdata`), { recursive: true });
    }

    const none = backup(inFolder("split"), at("none.tgz"));

    await expect(none).rejects.toMatchObject({
      reason: "STORE_EMPTY",
      message: expect.stringContaining(
        `${at("split-dag-manager")}, ${at("split-world-service")} are of services in processes of their own`,
      ),
    });
    expect([existsSync(at("split")), existsSync(at("none.tgz"))]).toEqual([false, false]);
  });
});

describe("verifying", () => {
  const verdict = async (path: string): Promise<string> =>
    verifyBackup({ path, ...quiet }).then(
      () => "good",
      (error: unknown) => (error instanceof BackupError ? error.reason : `${error}`),
    );

  /** The archive with its entries changed. */
  async function changed(
    name: string,
    change: (entry: TarEntry) => readonly TarEntry[],
  ): Promise<string> {
    const path = at(`${name}.tgz`);
    async function* entries(): AsyncGenerator<TarEntry> {
      for await (const entry of readTar(archive)) yield* change(entry);
    }
    await writeTar(path, entries(), signal);
    return verdict(path);
  }

  /** The archive with its manifest changed. */
  const otherwise = (name: string, from: string | RegExp, to: string) =>
    changed(name, (entry) => {
      if (entry.name !== manifestEntry) return [entry];
      const text = entry.content.toString("utf8");
      expect(text.replace(from, to)).not.toBe(text);
      return [{ ...entry, content: Buffer.from(text.replace(from, to)) }];
    });

  test("passes what was written", async () => {
    expect(await verdict(archive)).toBe("good");
    expect(await changed("same", (entry) => [entry])).toBe("good");
    expect(await verifyRestore({ path: archive, ...quiet })).toMatchObject({ laws: 7 });
  }, 120_000);

  test("finds a flipped bit wherever it is, and a file that is cut off anywhere", async () => {
    const good = readFileSync(archive);
    for (let part = 1; part <= 9; part += 1) {
      const place = Math.floor((good.length * part) / 10);
      const flipped = Buffer.from(good);
      flipped[place] = flipped[place]! ^ 4;
      writeFileSync(at("flipped.tgz"), flipped);
      expect(await verdict(at("flipped.tgz"))).toBe("BACKUP_DAMAGED");
      writeFileSync(at("cut.tgz"), good.subarray(0, place));
      expect(await verdict(at("cut.tgz"))).toBe("BACKUP_DAMAGED");
    }
  });

  test("finds what is missing, added, repeated or changed within", async () => {
    const isJournal = ({ name }: TarEntry) => name === "tables/gateway.journal/000002.jsonl";
    const change = (entry: TarEntry) => ({
      ...entry,
      content: Buffer.from(entry.content.toString("utf8").replace('"demo"', '"Demo"')),
    });
    const verdicts = [
      await changed("less", (entry) => (isJournal(entry) ? [] : [entry])),
      await changed("twice", (entry) => (isJournal(entry) ? [entry, entry] : [entry])),
      await changed("other", (entry) => (isJournal(entry) ? [change(entry)] : [entry])),
      await changed("open", (entry) => (entry.name === manifestEntry ? [] : [entry])),
      await otherwise("rows", /("name": "world"(?:.*\n)*?\s+"rows": )1\b/, "$12"),
      await otherwise("table", '"name": "journal"', '"name": "other"'),
    ];
    expect(verdicts).toEqual(verdicts.map(() => "BACKUP_DAMAGED"));
  });

  test("refuses what a newer version made, by its format or by its tables, and what is no backup", async () => {
    const format = await changed("format", (entry) => {
      const text = entry.content.toString("utf8");
      return [{ ...entry, content: Buffer.from(text.replace(/("format_version": )1/, "$12")) }];
    });
    const tables = await otherwise(
      "newer",
      /("version": )1,\s+"name": "gateway"/,
      '$19, "name": "x"',
    );
    const schema = await otherwise(
      "schema",
      /"name": "gateway",\s+"migrations"/,
      '"name": "x", "migrations"',
    );
    writeFileSync(at("text.tgz"), "no backup");
    expect([
      ...[format, tables, schema],
      ...[await verdict(at("text.tgz")), await verdict(at("absent.tgz"))],
    ]).toEqual([
      ...["BACKUP_UNSUPPORTED", "BACKUP_UNSUPPORTED", "BACKUP_UNSUPPORTED"],
      ...["BACKUP_DAMAGED", "FILE_UNUSABLE"],
    ]);
  });
});

/** Tables that a restore writes to. */
const raisedTables = new Set([
  ...["world.world", "world.gate", "world.audit", "world.outbox", "world.restore_floor"],
  ...["world.topic_store", "dag.restore_floor", "dag.node_lease", "dag.queue_head"],
  ...["dag.topic_store", "gateway.topic_store", "gateway.control_event"],
]);
const kept = (one: Manifest) =>
  Object.fromEntries(Object.entries(hashesOf(one)).filter(([name]) => !raisedTables.has(name)));

describe("a restore", () => {
  test("is refused where there is something, or somebody, and touches nothing", async () => {
    const before = readdirSync(root);
    const tried = (run: Promise<unknown>) =>
      run.then(
        () => "done",
        (error: { reason: string }) => error.reason,
      );
    const refusals = [await tried(restore(config))];
    await using host = await openPglite({ dataDir: config.storage.data_dir });
    refusals.push(await tried(restore(config, archive, { force: true })));
    refusals.push(await tried(backup(config, at("live.tgz"))));
    writeFileSync(at("damaged.tgz"), readFileSync(archive).subarray(0, 3_000));
    refusals.push(await tried(restore(inFolder("new"), at("damaged.tgz"))));
    rmSync(at("damaged.tgz"));
    expect(refusals).toEqual([
      "STORE_NOT_EMPTY",
      "DATA_FOLDER_LOCKED",
      "DATA_FOLDER_LOCKED",
      "BACKUP_DAMAGED",
    ]);
    expect(readdirSync(root)).toEqual(before);
    const contradicts = host.db("gateway").transaction(async (tx) => {
      await tx.query("delete from gateway.journal where account_id = 'odd' and entry = 7");
      await checkFacts(tx, manifest);
    });
    await expect(contradicts).rejects.toMatchObject({
      reason: "BACKUP_INCONSISTENT",
      message: expect.stringContaining("not so for odd"),
    });
    const isBeyond = host.db("gateway").transaction(async (tx) => {
      await tx.query("delete from gateway.journal where account_id = 'odd' and entry > 298");
      await checkFacts(tx, manifest);
    });
    await expect(isBeyond).rejects.toMatchObject({
      reason: "BACKUP_INCONSISTENT",
      message: "a snapshot of an account is of an entry that its journal has; not so for odd",
    });
  });

  test("moves aside what was there, and the platform starts with its worlds shut, above what was seen", async () => {
    const into = inFolder("used");
    mkdirSync(at("used"), { mode: 0o750 });
    writeFileSync(join(at("used"), "mine"), "");
    const dead = { pid: 1, startTicks: "", bootId: "before", pidSpace: "", host: hostname() };
    writeFileSync(join(at("used"), "lock"), JSON.stringify({ ...dead, token: "t" }));
    const seen = Math.floor(systemClock.nowMs() / 1_000) * 1_024;

    const restored = await restore(into, archive, { force: true });

    expect(restored).toMatchObject({ into: at("used") });
    expect(restored.worlds.map(({ worldId }) => worldId)).toEqual(["demo"]);
    expect(restored.floor).toBeGreaterThanOrEqual(seen);
    expect(restored.movedTo).toMatch(/used\.before-\d{8}T\d{6}Z$/);
    expect(readdirSync(restored.movedTo!)).toContain("mine");
    expect(statSync(at("used")).mode & 0o777).toBe(0o750);
    const platform = await startPlatform(into);
    try {
      await using connection = connectTo(platform.addresses.gateway);
      const worlds = connection.client(WorldService);
      const last = (await worlds.listAuditEntries({ worldId: "demo" })).entries.at(-1);
      expect(last).toMatchObject({ type: "store_restored", principal: "ops" });
      expect(Number(last?.fence)).toBeGreaterThanOrEqual(seen);
      const activation = await connection
        .client(ActivationService)
        .getActivation({ worldId: "demo" });
      expect(activation.gate).toMatchObject({
        holds: [{ kind: HoldKind.MANUAL, reason: "disk lost" }],
      });
      expect(activation.gate?.gate).not.toBe(Gate.OPEN);
      expect(Number(activation.gate?.storeEpoch)).toBeGreaterThanOrEqual(seen);
    } finally {
      await platform.stop();
    }
  }, 120_000);

  test("that is broken off leaves no data folder", async () => {
    const broken = fillFolder(at("cut"), systemClock, () => Promise.reject(new Error("enough")));
    await expect(broken).rejects.toThrow("enough");
    expect(readdirSync(root).filter((name) => name.startsWith("cut."))).toEqual(["cut.tgz"]);
  }, 120_000);
});

describePostgres("backup and restore", (server) => {
  test("an archive goes from one storage into the other, and a backup sees one moment while services write", async () => {
    const into = inDatabase(await server().createDatabase());

    const restored = await restore(into);

    expect(restored.worlds).toHaveLength(1);
    await using db = await openPostgres({
      dsn: process.env.QMTL_BACKUP_TEST_DSN!,
      schema: "gateway",
    });
    await expect(restore(into)).rejects.toMatchObject({ reason: "STORE_IN_USE" });
    let written: Promise<unknown> | undefined;
    const onProgress = () => {
      written ??= db.query("delete from gateway.journal");
    };
    writeFileSync(at("server.tgz"), "older");
    const stop = new AbortController();
    const stopping = { replace: true, signal: stop.signal, onProgress: () => stop.abort() };
    await expect(backup(into, at("server.tgz"), stopping)).rejects.toThrow("aborted");
    expect(readFileSync(at("server.tgz"), "utf8")).toBe("older");
    expect(readdirSync(root).filter((name) => name.includes("partial"))).toEqual([]);
    const taken = await backup(into, at("server.tgz"), { replace: true, onProgress });
    await written;
    expect(await db.query("select 1 as one from gateway.journal")).toEqual([]);
    expect(kept(taken)).toEqual(kept(manifest));
    expect(taken.storage).toBe("postgres");
    await db.close();
    await expect(restore(into, archive, { force: true })).rejects.toMatchObject({
      reason: "STORE_NOT_EMPTY",
    });
  });

  test("no service starts on a restore that was broken off; a second one begins anew", async () => {
    const into = inDatabase(await server().createDatabase());
    const broken = fillServer(into.storage, async (store) => {
      await makeTables(store, manifest.schemas, await knownMigrations());
      await store.db("world").transaction(markUnfinished);
      await store
        .db("world")
        .transaction((tx) => loadArchive(tx, { path: archive, manifest, ...quiet }));
      throw new Error("killed");
    });
    await expect(broken).rejects.toThrow("killed");
    for (const schema of ["dag", "world", "gateway"]) {
      await using db = await openPostgres({ dsn: process.env.QMTL_BACKUP_TEST_DSN!, schema });
      await expect(migrateOutbox(db)).rejects.toMatchObject({ reason: "MIGRATION_REFUSED" });
    }
    await expect(backup(into, at("half.tgz"))).rejects.toMatchObject({
      reason: "STORE_UNFINISHED",
    });

    await restore(into);

    expect(kept(await backup(into, at("whole.tgz")))).toEqual(kept(manifest));
    await using db = await openPostgres({
      dsn: process.env.QMTL_BACKUP_TEST_DSN!,
      schema: "world",
    });
    await migrateOutbox(db);
  });
});
