import { DatabaseError, Pool, type PoolClient, type QueryConfig } from "pg";
import { type Clock, systemClock } from "../clock.ts";
import type { DependencyMonitor } from "../dependency-monitor.ts";
import { type Db, quotedSchema, type SqlParam, type TransactionOptions, type Tx } from "./db.ts";
import { type DbError, DbUnavailable, dbErrorFromServer, UnknownOutcome } from "./db-errors.ts";
import { type Backend, backendOf, LostBackends } from "./lost-backends.ts";
import { NestingGuard } from "./nesting-guard.ts";
import { PendingCalls } from "./pending-calls.ts";
import { runTransaction, type TransactionConnection } from "./run-transaction.ts";
import { encodeParams } from "./sql-param.ts";
import { decoderOf } from "./sql-value.ts";

export interface PostgresOptions {
  /** Connection string, `postgres://user:password@host:port/database`. A secret: never logged. */
  dsn: string;
  /** The schema this service owns. */
  schema: string;
  /** Largest number of connections. @default 8 */
  connectionsMax?: number;
  /** Calls under way or waiting for a connection; one more is refused with `DB_OVERLOADED`. @default 1024 */
  callsMax?: number;
  /** Milliseconds a statement may run before the server cancels it (`STATEMENT_TIMEOUT`). @default 15000 */
  statementMsMax?: number;
  /** Milliseconds a transaction may stay open. @default 30000 */
  transactionMsMax?: number;
  /** Milliseconds a new connection may take. @default 5000 */
  connectMsMax?: number;
  /** Informed, as calls end, whether the server answers. @default none */
  monitor?: DependencyMonitor;
  /** Of the database, where several schemas of it are opened. @default those of this schema alone */
  lostBackends?: LostBackends;
  /** @default the machine's clock */
  clock?: Clock;
}

type Compiled = Required<Omit<PostgresOptions, "dsn" | "schema" | "monitor">> &
  Pick<PostgresOptions, "monitor">;

/** Settings that make text results the same everywhere; see `sql-value.ts`. */
const SESSION =
  "-c DateStyle=ISO,YMD -c TimeZone=UTC -c bytea_output=hex -c extra_float_digits=1 -c IntervalStyle=postgres";
const types = { getTypeParser: (oid: number) => decoderOf(oid) };

/** One connection; failures become `DbError`s, and `isBroken` is set once the connection is lost. */
class PostgresConnection implements TransactionConnection {
  readonly isPipelined = false;
  readonly #client: PoolClient;
  isBroken = false;

  constructor(client: PoolClient) {
    this.#client = client;
  }

  async query<Row extends object>(sql: string, params: readonly SqlParam[] = []): Promise<Row[]> {
    const values = encodeParams(params);
    try {
      const config: QueryConfig & { queryMode: string } = {
        text: sql,
        values,
        types,
        queryMode: "extended",
      };
      const result = await this.#client.query(config);
      return result.rows;
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  async script(sql: string): Promise<void> {
    try {
      await this.#client.query(sql);
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  async begin(sql: string): Promise<void> {
    await this.query(sql);
  }

  #failed(cause: unknown): unknown {
    if (cause instanceof RangeError || cause instanceof SyntaxError) return cause; // a value could not be decoded
    const error = postgresError(cause);
    if (error instanceof DbUnavailable) this.isBroken = true;
    return error;
  }
}

function postgresError(cause: unknown): DbError {
  if (cause instanceof DatabaseError && cause.code !== undefined) {
    const { message, code: sqlState, constraint, column } = cause;
    return dbErrorFromServer({ message, sqlState, constraint, column }, cause);
  }
  return new DbUnavailable(cause instanceof Error ? cause.message : "connection lost", cause);
}

class PostgresDb implements Db {
  readonly kind = "postgres";
  readonly schema: string;
  readonly #pool: Pool;
  readonly #options: Compiled;
  readonly #guard = new NestingGuard();
  readonly #calls: PendingCalls;
  readonly #backends = new WeakMap<PoolClient, Backend>();
  #closed: Promise<void> | undefined;

  constructor(pool: Pool, schema: string, options: Compiled) {
    this.#pool = pool;
    this.schema = schema;
    this.#options = options;
    this.#calls = new PendingCalls(options.callsMax);
  }

  query<Row extends object>(sql: string, params: readonly SqlParam[] = []): Promise<Row[]> {
    return this.#autocommit((connection) => connection.query<Row>(sql, params));
  }

  script(sql: string): Promise<void> {
    return this.#autocommit((connection) => connection.script(sql));
  }

  transaction<T>(fn: (tx: Tx) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    return this.#withConnection((connection) => {
      const { clock, transactionMsMax } = this.#options;
      const guarded = (tx: Tx) => this.#guard.enter(() => fn(tx));
      return runTransaction(connection, guarded, { ...options, clock, transactionMsMax });
    });
  }

  close(): Promise<void> {
    // The pool itself would leave calls that wait for a connection without an answer.
    this.#closed ??= this.#calls.close().then(() => this.#pool.end());
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #autocommit<T>(statement: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    return this.#withConnection(async (connection) => {
      try {
        return await statement(connection);
      } catch (cause) {
        if (!(cause instanceof DbUnavailable)) throw cause;
        throw new UnknownOutcome("connection lost during a statement", cause);
      }
    });
  }

  async #withConnection<T>(use: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    this.#guard.check();
    return this.#calls.run(() => this.#useConnection(use));
  }

  async #useConnection<T>(use: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    const { monitor, clock, lostBackends } = this.#options;
    const beganAtMs = monitor === undefined ? 0 : clock.monotonicMs();
    const client = await this.#pool.connect().catch((cause: unknown) => {
      const failure = new DbUnavailable("connecting to the database", cause);
      monitor?.failed(failure, beganAtMs);
      throw failure;
    });
    // The pool listens only to idle clients; without a listener the loss of this one would end the process.
    const connection = new PostgresConnection(client);
    const onLoss = () => {
      connection.isBroken = true;
    };
    client.on("error", onLoss);
    try {
      await this.#begin(client, connection);
      return await use(connection);
    } catch (failure) {
      if (connection.isBroken) monitor?.failed(failure, beganAtMs);
      const backend = this.#backends.get(client);
      if (failure instanceof UnknownOutcome && backend !== undefined) lostBackends.add(backend);
      throw failure;
    } finally {
      if (!connection.isBroken) monitor?.answered();
      client.off("error", onLoss);
      client.release(connection.isBroken);
    }
  }

  /** Nothing is carried out before what was lost is over. */
  async #begin(client: PoolClient, connection: PostgresConnection): Promise<void> {
    const { lostBackends } = this.#options;
    if (!this.#backends.has(client)) this.#backends.set(client, await backendOf(connection));
    if (!lostBackends.isEmpty) await lostBackends.end(connection);
  }
}

/** Opens a pool and one connection, so that a wrong dsn fails here. @throws {DbUnavailable} */
export async function openPostgres(options: PostgresOptions): Promise<Db> {
  quotedSchema(options.schema);
  const compiled: Compiled = {
    connectionsMax: options.connectionsMax ?? 8,
    callsMax: options.callsMax ?? 1024,
    statementMsMax: options.statementMsMax ?? 15_000,
    transactionMsMax: options.transactionMsMax ?? 30_000,
    connectMsMax: options.connectMsMax ?? 5_000,
    clock: options.clock ?? systemClock,
    lostBackends: options.lostBackends ?? new LostBackends(),
    ...(options.monitor === undefined ? {} : { monitor: options.monitor }),
  };
  const pool = new Pool({
    connectionString: options.dsn,
    max: compiled.connectionsMax,
    connectionTimeoutMillis: compiled.connectMsMax,
    idleTimeoutMillis: 30_000,
    statement_timeout: compiled.statementMsMax,
    // Past the server's own timeout the connection itself must be dead.
    query_timeout: compiled.statementMsMax + 5_000,
    idle_in_transaction_session_timeout: compiled.transactionMsMax + 5_000,
    keepAlive: true,
    application_name: `qmtl-${options.schema}`,
    options: SESSION,
  });
  pool.on("error", () => {}); // an idle connection died; the pool has dropped it already
  const db = new PostgresDb(pool, options.schema, compiled);
  try {
    await db.query("select 1");
  } catch (cause) {
    await db.close();
    throw cause instanceof UnknownOutcome ? new DbUnavailable(cause.message, cause) : cause;
  }
  return db;
}
