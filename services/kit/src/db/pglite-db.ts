import { type Clock, systemClock } from "../clock.ts";
import { type DataFolderLock, lockDataFolder } from "./data-folder-lock.ts";
import { type Db, quotedSchema, type SqlParam, type TransactionOptions, type Tx } from "./db.ts";
import { DbUnavailable, UnknownOutcome } from "./db-errors.ts";
import { NestingGuard } from "./nesting-guard.ts";
import { PendingCalls } from "./pending-calls.ts";
import { PgliteConnection } from "./pglite-connection.ts";
import { runTransaction } from "./run-transaction.ts";
import { TurnQueue } from "./turn-queue.ts";

export interface PgliteOptions {
  /** Data folder: `lock` and `pgdata/` are kept in it. Created if missing. */
  dataDir: string;
  /** Calls of all schemas under way or waiting; one more is refused with `DB_OVERLOADED`. @default 1024 */
  callsMax?: number;
  /** Milliseconds a transaction may stay open. @default 30000 */
  transactionMsMax?: number;
  /** Where the template of an empty database is kept. @default the user's cache folder */
  cacheDir?: string;
  /** @default the machine's clock */
  clock?: Clock;
}

/** One PGlite database in a worker thread, shared by all services of this process. */
export interface PgliteHost extends AsyncDisposable {
  /** The database as the service that owns `schema` sees it. Closing it leaves the others open. */
  db(schema: string): Db;
  /**
   * Aborts when the database is lost (out of memory, a crash of the worker), with a `DbUnavailable` that says why. What
   * was committed is in the folder, which must be opened again, by this process or another.
   */
  readonly failed: AbortSignal;
  /** Finishes what was accepted, closes the database and releases the folder's lock. May be called twice. */
  close(): Promise<void>;
}

class SharedPglite implements PgliteHost {
  readonly #connection: PgliteConnection;
  readonly #lock: DataFolderLock;
  readonly #queue: TurnQueue;
  readonly #transactionLimits: { clock: Clock; transactionMsMax: number };
  readonly #guard = new NestingGuard();
  #closed: Promise<void> | undefined;

  constructor(connection: PgliteConnection, lock: DataFolderLock, options: PgliteOptions) {
    this.#connection = connection;
    this.#lock = lock;
    this.#queue = new TurnQueue(options.callsMax ?? 1024);
    this.#transactionLimits = {
      clock: options.clock ?? systemClock,
      transactionMsMax: options.transactionMsMax ?? 30_000,
    };
  }

  get failed(): AbortSignal {
    return this.#connection.failed;
  }

  db(schema: string): Db {
    quotedSchema(schema);
    return new PgliteDb(this, schema);
  }

  async autocommit<T>(statement: (connection: PgliteConnection) => Promise<T>): Promise<T> {
    this.#check();
    return this.#queue.statement(async () => {
      if (this.failed.aborted) throw this.failed.reason;
      try {
        return await statement(this.#connection);
      } catch (cause) {
        if (!(cause instanceof DbUnavailable)) throw cause;
        throw new UnknownOutcome("connection lost during a statement", cause);
      }
    });
  }

  async transaction<T>(fn: (tx: Tx) => Promise<T>, options: TransactionOptions): Promise<T> {
    this.#check();
    const limits = { ...options, ...this.#transactionLimits };
    const guarded = (tx: Tx) => this.#guard.enter(() => fn(tx));
    return this.#queue.transaction(() => runTransaction(this.#connection, guarded, limits));
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      // A transaction of a lost database may still wait for something else, in vain.
      if (!this.failed.aborted) await this.#queue.idle();
      await this.#connection.close();
      this.#lock.release();
    })();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #check(): void {
    this.#guard.check();
    if (this.#closed !== undefined) throw new DbUnavailable("the database is closed");
  }
}

class PgliteDb implements Db {
  readonly kind = "pglite";
  readonly schema: string;
  readonly #host: SharedPglite;
  /** Not bounded here: the host bounds the calls of all schemas together. */
  readonly #calls = new PendingCalls(Number.POSITIVE_INFINITY);

  constructor(host: SharedPglite, schema: string) {
    this.#host = host;
    this.schema = schema;
  }

  query<Row extends object>(sql: string, params: readonly SqlParam[] = []): Promise<Row[]> {
    return this.#calls.run(() =>
      this.#host.autocommit((connection) => connection.query<Row>(sql, params)),
    );
  }

  script(sql: string): Promise<void> {
    return this.#calls.run(() => this.#host.autocommit((connection) => connection.script(sql)));
  }

  transaction<T>(fn: (tx: Tx) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    return this.#calls.run(() => this.#host.transaction(fn, options));
  }

  close(): Promise<void> {
    return this.#calls.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Opens the database in a data folder, or creates one (0.5 s; some seconds the first time on a machine).
 *
 * @throws {DataFolderLocked} when a process that is or may be alive has the folder open.
 */
export async function openPglite(options: PgliteOptions): Promise<PgliteHost> {
  const lock = lockDataFolder(options.dataDir);
  try {
    const { dataDir, cacheDir } = options;
    const connection = await PgliteConnection.open({ dataDir, cacheDir });
    return new SharedPglite(connection, lock, options);
  } catch (cause) {
    lock.release();
    throw cause;
  }
}
