import { connect } from "node:net";
import { type QmtlConfig, resolveSecret } from "@qmtl/sdk/config";
import type { Queryable } from "@qmtl/service-kit/db";
import { type Check, messageOf } from "./check.ts";
import type { ClockReading } from "./check-clock.ts";

/** Oldest PostgreSQL version that the SQL statements are written for. */
const postgresMajorMin = 15;
/** Milliseconds a server may take to answer. */
const answerMsMax = 3_000;

/** What a database server reported. */
export interface DatabaseAnswer {
  readonly check: Check;
  /** Its time of day; undefined when it did not answer. */
  readonly reading?: ClockReading;
  /** Who leads according to the database; absent when it did not answer. */
  readonly leaders?: readonly Check[];
}

/** Logs in to the PostgreSQL server of `storage.dsn`, and asks for its version and time. Changes nothing. */
export async function checkDatabase(
  config: QmtlConfig,
  nowMs: () => number,
): Promise<DatabaseAnswer> {
  const name = "database";
  const { dsn } = config.storage;
  if (config.storage.kind !== "postgres" || dsn === null) {
    return { check: { name, status: "ok", detail: `embedded, in ${config.storage.data_dir}` } };
  }
  try {
    // Loaded only here: most configurations use no database server.
    const { openPostgres } = await import("@qmtl/service-kit/db");
    await using db = await openPostgres({
      dsn: resolveSecret(dsn),
      schema: "public",
      connectionsMax: 1,
      connectMsMax: answerMsMax,
    });
    const before = nowMs();
    const [row] = await db.query<{ version: number; now_ms: number }>(
      `select current_setting('server_version_num')::int as version,
        (extract(epoch from clock_timestamp()) * 1000)::int8 as now_ms`,
    );
    const { version = 0, now_ms: theirMs = 0 } = row ?? {};
    const reading = { of: "the database", theirMs, ourMs: (before + nowMs()) / 2 };
    const major = Math.floor(version / 10_000);
    const detail = `PostgreSQL ${major} answers`;
    const leaders = await leaderChecks(db);
    if (major >= postgresMajorMin) {
      return { check: { name, status: "ok", detail }, reading, leaders };
    }
    const fix = `needs PostgreSQL ${postgresMajorMin} or newer`;
    return { check: { name, status: "error", detail, fix }, reading };
  } catch (failure) {
    const detail = `storage.dsn: ${messageOf(failure)}`;
    const fix = "start the server, correct storage.dsn, or set storage.kind: embedded";
    return { check: { name, status: "error", detail, fix } };
  }
}

/** Table and columns in which each service that has one leader records who leads. */
const LEADERS = [
  { name: "DAG Manager leader", table: "dag.leadership", owner: "owner", until: "until" },
  { name: "WorldService leader", table: "world.leadership", owner: "holder", until: "expires_at" },
] as const;

/** Who leads now. No leader is not a fault where nothing runs; a missing table means that the service never ran. */
async function leaderChecks(db: Queryable): Promise<Check[]> {
  const checks: Check[] = [];
  for (const { name, table, owner, until } of LEADERS) {
    const [there] = await db.query<{ there: boolean }>(
      "select to_regclass($1) is not null as there",
      [table],
    );
    if (there?.there !== true) continue;
    const [row] = await db.query<{ owner: string; left_ms: number }>(
      `select ${owner} as owner, (extract(epoch from ${until} - now()) * 1000)::int8 as left_ms from ${table}`,
    );
    if (row === undefined) {
      checks.push({ name, status: "ok", detail: "nobody: none is running" });
    } else if (row.left_ms < 0) {
      const ago = (-row.left_ms / 1_000).toFixed(1);
      const detail = `nobody for ${ago} s; the last one was ${row.owner}`;
      checks.push({ name, status: "warning", detail, fix: "start one" });
    } else {
      checks.push({ name, status: "ok", detail: row.owner });
    }
  }
  return checks;
}

/** Connects to each Kafka broker of `bus.brokers`, and asks those that answer for the cluster. Changes nothing. */
export async function checkBrokers(config: QmtlConfig): Promise<Check> {
  const name = "broker";
  if (config.bus.kind === "embedded") {
    return { name, status: "ok", detail: "none needed: the log is in the database" };
  }
  if (config.bus.kind === "direct") {
    return { name, status: "ok", detail: "none needed: the gateway follows the other services" };
  }
  const { brokers } = config.bus;
  const answers = await Promise.all(brokers.map(isListening));
  const silent = brokers.filter((_, index) => answers[index] !== true);
  const fix = "start Kafka, correct bus.brokers, or set bus.kind: direct";
  if (silent.length === brokers.length) {
    return { name, status: "error", detail: `${silent.join(", ")} cannot be reached`, fix };
  }
  try {
    const { openKafkaBus } = await import("@qmtl/service-kit/bus");
    const listening = brokers.filter((_, index) => answers[index]);
    const bus = await openKafkaBus({ brokers: listening, clientId: "qmtl-doctor" });
    await bus.close();
  } catch (failure) {
    return { name, status: "error", detail: `bus.brokers: ${messageOf(failure)}`, fix };
  }
  if (silent.length === 0) return { name, status: "ok", detail: `Kafka at ${brokers.join(", ")}` };
  return { name, status: "warning", detail: `${silent.join(", ")} cannot be reached`, fix };
}

/** True when something accepts a connection at `host:port` in time. */
export function isListening(address: string): Promise<boolean> {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[|\]$/g, "");
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(address.slice(colon + 1)), timeout: answerMsMax });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => end(true));
    socket.once("timeout", () => end(false));
    socket.once("error", () => end(false));
  });
}
