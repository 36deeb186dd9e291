import {
  type Db,
  type DbError,
  DbUnavailable,
  type SqlParam,
  type TransactionOptions,
  type Tx,
} from "@qmtl/service-kit/db";

const reads = /^\s*select\b/i;

/** A database that does not answer while `isDown` is set, and whose answers to writes a test can lose. */
export class OutageDb implements Db {
  readonly #db: Db;
  isDown = false;
  /** What every call fails with while it is down. */
  failure: DbError = new DbUnavailable("the test has taken the database away");

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

  async query<Row extends object>(sql: string, params: readonly SqlParam[] = []): Promise<Row[]> {
    this.#check();
    const rows = await this.#db.query<Row>(sql, params);
    if (!reads.test(sql)) this.onStored();
    return rows;
  }

  async script(sql: string): Promise<void> {
    this.#check();
    await this.#db.script(sql);
  }

  async transaction<T>(fn: (tx: Tx) => Promise<T>, options?: TransactionOptions): Promise<T> {
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
