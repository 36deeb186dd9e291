import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { chown, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { Client } from "pg";
import { sleep, systemClock } from "../clock.ts";
import { freePorts } from "./free-port.ts";
import { type GuardedProcess, startGuarded } from "./guarded-process.ts";

/** A PostgreSQL cluster of our own on a loopback port, in a temporary folder. */
export interface PrivatePostgres extends AsyncDisposable {
  readonly pid: number;
  /** Connection string of a database; `postgres` always exists. */
  dsn(database: string): string;
  /** Creates an empty database and returns its connection string. */
  createDatabase(): Promise<string>;
  /** Kills the server with SIGKILL; its data stay. */
  kill(): Promise<void>;
  /** Starts it again on the same port and data, after `kill`. */
  startAgain(): Promise<void>;
  /** Makes all its processes stand still (SIGSTOP): it takes connections and statements, and answers none. */
  hang(): void;
  /** Goes on after `hang`: what it took in meanwhile is answered. Does nothing without it. */
  goOn(): void;
  /** Ends the cluster and deletes it, also while it hangs. May be called twice. */
  stop(): Promise<void>;
}

/** Only guards against hanging; even a slow disk takes less. */
const START_MS_MAX = 90_000;
const START_TRIES_MAX = 20;

/** Folder of `initdb` and `postgres`, newest version first; undefined when there is none. */
export function findPostgresBinaries(): string | undefined {
  const root = "/usr/lib/postgresql";
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [
    ...versions.map((version) => join(root, version, "bin")),
    ...(process.env.PATH ?? "").split(delimiter),
  ];
  return folders.find(
    (folder) => existsSync(join(folder, "initdb")) && existsSync(join(folder, "postgres")),
  );
}

/** PostgreSQL refuses to run as root; under root it runs as the user that its package created. */
function serverUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((entry) => entry.startsWith("postgres:"));
  if (line === undefined) throw new Error("root needs a user named postgres to run PostgreSQL as");
  const [, , uid, gid] = line.split(":");
  return { uid: Number(uid), gid: Number(gid) };
}

export interface PrivatePostgresOptions {
  /** Whether a commit is on the disk once it is answered, as in production. @default false */
  isDurable?: boolean;
}

/**
 * Creates and starts a cluster (about 1 s). It trusts loopback connections, does not write to disk durably unless that
 * is asked for, and ends with this process, however that ends.
 */
export async function startPrivatePostgres(
  options: PrivatePostgresOptions = {},
): Promise<PrivatePostgres> {
  const binaries = findPostgresBinaries();
  if (binaries === undefined) throw new Error("no PostgreSQL found; run npm run services:setup");
  const user = serverUser();
  const folder = await mkdtemp(join(tmpdir(), "qmtl-postgres-"));
  if (user !== undefined) await chown(folder, user.uid, user.gid);
  const data = join(folder, "data");
  await promisify(execFile)(
    join(binaries, "initdb"),
    ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
    { cwd: folder, ...user },
  );
  const [port = 0] = await freePorts(1);
  const settings = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: folder,
    ...(options.isDurable === true ? {} : quick),
    max_connections: "100",
    shared_buffers: "32MB",
  };
  const launch = () =>
    startGuarded({
      command: join(binaries, "postgres"),
      args: [
        "-D",
        data,
        ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
      ],
      folder,
      logFile: join(folder, "postgres.log"),
      user,
      stopSignal: "SIGINT",
    });
  let server = launch();
  const dsn = (database: string) => dsnOf(port, database);
  await untilAnswering(server, dsn("postgres"));
  let hanging: readonly number[] = [];
  const goOn = () => {
    for (const pid of hanging) {
      try {
        process.kill(pid, "SIGCONT");
      } catch {
        // It was killed meanwhile.
      }
    }
    hanging = [];
  };
  const stop = () => {
    goOn();
    return server.stop();
  };
  return {
    get pid() {
      return server.pid;
    },
    dsn,
    hang() {
      // The server first: then no process is added to its own.
      process.kill(server.pid, "SIGSTOP");
      hanging = [server.pid, ...childrenOf(server.pid)];
      for (const pid of hanging) process.kill(pid, "SIGSTOP");
    },
    goOn,
    createDatabase: () => createDatabase(dsn),
    async kill() {
      process.kill(server.pid, "SIGKILL");
      await server.ended;
    },
    async startAgain() {
      for (let tries = 1; ; tries += 1) {
        server = launch();
        const early = await Promise.race([server.ended, sleep(systemClock, 500)]);
        if (early === undefined) break;
        // Child processes of the killed server still hold its memory for a moment.
        if (tries === START_TRIES_MAX) throw new Error(`PostgreSQL: ${server.logTail()}`);
      }
      await untilAnswering(server, dsn("postgres"));
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Processes that a process has started and that run. */
function childrenOf(pid: number): number[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((each) => {
    try {
      // After the name, which may hold anything: state, parent.
      const [, parent] = readFileSync(`/proc/${each}/stat`, "utf8").split(") ").at(-1)!.split(" ");
      return Number(parent) === pid;
    } catch {
      return false; // it has ended
    }
  });
}

/** Settings of a server whose data need not outlive the machine. */
const quick = { fsync: "off", synchronous_commit: "off", full_page_writes: "off" };

async function createDatabase(dsn: (database: string) => string): Promise<string> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  const client = new Client({ connectionString: dsn("postgres") });
  await client.connect();
  try {
    await client.query(`create database ${name}`);
  } finally {
    await client.end();
  }
  return dsn(name);
}

/** A cluster that other test files use, too, so it cannot be killed. */
export type SharedPostgres = Omit<PrivatePostgres, "pid" | "kill" | "startAgain" | "hang" | "goOn">;

const SHARED = "QMTL_TEST_POSTGRES_PORT";

/**
 * For vitest's `globalSetup`: starts one cluster for the whole run, which `openTestPostgres` then gives to all test
 * files, and returns a function that ends it. Does nothing where there is no PostgreSQL.
 */
export async function sharePostgres(): Promise<() => Promise<void>> {
  if (findPostgresBinaries() === undefined) return async () => {};
  const server = await startPrivatePostgres();
  process.env[SHARED] = new URL(server.dsn("postgres")).port;
  return () => server.stop();
}

/** The shared cluster of the run if there is one, whose `stop` does nothing; else a cluster of its own. */
export async function openTestPostgres(): Promise<SharedPostgres> {
  const port = process.env[SHARED];
  if (port === undefined) return startPrivatePostgres();
  const dsn = (database: string) => dsnOf(Number(port), database);
  const stop = async () => {};
  return { dsn, createDatabase: () => createDatabase(dsn), stop, [Symbol.asyncDispose]: stop };
}

function dsnOf(port: number, database: string): string {
  return `postgres://postgres@127.0.0.1:${port}/${database}`;
}

async function untilAnswering(server: GuardedProcess, connectionString: string): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + START_MS_MAX;
  let hasEnded = false;
  void server.ended.then(() => {
    hasEnded = true;
  });
  for (;;) {
    const client = new Client({ connectionString });
    client.on("error", () => {});
    try {
      await client.connect();
      await client.end();
      return;
    } catch (cause) {
      if (hasEnded || systemClock.monotonicMs() > deadlineMs) {
        const tail = server.logTail();
        await server.stop();
        throw new Error(`PostgreSQL did not start:\n${tail}`, { cause });
      }
      await sleep(systemClock, 30);
    }
  }
}
