import {
  type Db,
  type DbError,
  DbUnavailable,
  type SqlParam,
  type TransactionOptions,
  type Tx,
} from "@qmtl/service-kit/db";

const reads = /^\s*select\b/i;

/**
 * A database that fails while `isDown` is set, is silent between `hang` and `goOn`, and whose answers to writes a test can
 * lose.
 */
export class OutageDb implements Db {
  readonly #db: Db;
  isDown = false;
  /** What every call fails with while it is down. */
  failure: DbError = new DbUnavailable("the test has taken the database away");
  #silence: Promise<void> | undefined;
  #endSilence: () => void = () => {};

  /** Called once a write is stored, before its answer; what it throws is the answer. */
  onStored: () => void = () => {};

  constructor(db: Db) {
    this.#db = db;
  }

  get kind(): Db["kind"] {
    return this.#db.kind;
  }

  get schema(): string {
    return this.#db.schema;
  }

  /** What is called from now on is not answered before `goOn`. */
  hang(): void {
    this.#silence = new Promise((resolve) => {
      this.#endSilence = resolve;
    });
  }

  /** Does what was called since `hang`. */
  goOn(): void {
    this.#silence = undefined;
    this.#endSilence();
  }

  async query<Row extends object>(sql: string, params: readonly SqlParam[] = []): Promise<Row[]> {
    if (this.#silence !== undefined) await this.#silence;
    this.#check();
    const rows = await this.#db.query<Row>(sql, params);
    if (!reads.test(sql)) this.onStored();
    return rows;
  }

  async script(sql: string): Promise<void> {
    if (this.#silence !== undefined) await this.#silence;
    this.#check();
    await this.#db.script(sql);
  }

  async transaction<T>(fn: (tx: Tx) => Promise<T>, options?: TransactionOptions): Promise<T> {
    if (this.#silence !== undefined) await this.#silence;
    this.#check();
    const result = await this.#db.transaction(fn, options);
    this.onStored();
    return result;
  }

  close(): Promise<void> {
    return this.#db.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #check(): void {
    if (this.isDown) throw this.failure;
  }
}
