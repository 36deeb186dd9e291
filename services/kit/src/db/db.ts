/**
 * A value bound to `$n`. A JavaScript array becomes a PostgreSQL array; a value for a json or jsonb
 * column is passed as text, `JSON.stringify(value)`; a time as `Date`.
 */
export type SqlParam =
  | string
  | number
  | bigint
  | boolean
  | null
  | Date
  | Uint8Array
  | readonly SqlParam[];

/**
 * What both a database and an open transaction can do.
 *
 * Rows are plain objects with the same types from both adapters: int2, int4, int8, oid, float4, float8 →
 * number (int8, so also `count(*)`, throws `RangeError` beyond ±2^53); numeric → string; bool → boolean;
 * timestamptz → milliseconds since 1970 as number, truncated to the millisecond (±Infinity for infinity); bytea →
 * Uint8Array; json, jsonb → parsed; arrays of these → arrays, which may contain null; every other type, also date,
 * timestamp without time zone, interval and uuid → PostgreSQL's text (UTC, ISO style). NULL → null.
 */
export interface Queryable {
  /** Runs one statement. Names are qualified with their schema: no search_path is set. */
  query<Row extends object>(sql: string, params?: readonly SqlParam[]): Promise<Row[]>;
  /** Runs any number of statements, all or none, and returns no rows. For migrations. */
  script(sql: string): Promise<void>;
}

/** An open transaction: one connection. Unusable once its function has settled. */
export interface Tx extends Queryable {}

export interface TransactionOptions {
  /** @default "read committed". PGlite has one connection, so transactions run one at a time at every level. */
  isolation?: "read committed" | "repeatable read" | "serializable";
}

/**
 * A service's PostgreSQL database: a server (`postgres`) or PGlite in this process (`pglite`), PostgreSQL 15 SQL.
 *
 * Failures are `DbError`s with a stable `reason`. PGlite is safe against a killed process but not against
 * power loss, has no statement timeout, and runs one transaction at a time over all its schemas.
 */
export interface Db extends Queryable, AsyncDisposable {
  readonly kind: "pglite" | "postgres";
  /** The schema this service owns; SQL still names it. */
  readonly schema: string;
  /**
   * Runs `fn` in one transaction: commits when it resolves, rolls back when it rejects.
   *
   * If any statement failed the transaction is rolled back and the call rejects with reason
   * `TRANSACTION_ABORTED`, even if `fn` caught the error. Inside `fn` only `tx` may be used: a call on
   * this or another `Db` of the same connection pool from there throws. `fn` must finish within
   * `transactionMsMax` (else `TRANSACTION_TIMEOUT`, rolled back), so it must not wait for the network.
   *
   * @throws {UnknownOutcome} when the connection was lost during COMMIT.
   */
  transaction<T>(fn: (tx: Tx) => Promise<T>, options?: TransactionOptions): Promise<T>;
  /** Finishes what was accepted and refuses further calls. May be called twice. */
  close(): Promise<void>;
}

/** The schema's name quoted for SQL. @throws {RangeError} unless it is a plain lower-case name. */
export function quotedSchema(schema: string): string {
  if (!/^[a-z][a-z0-9_]{0,40}$/.test(schema)) throw new RangeError(`bad schema name: ${schema}`);
  return `"${schema}"`;
}
