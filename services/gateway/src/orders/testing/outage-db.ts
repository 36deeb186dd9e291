import {
  type Db,
  type DbError,
  DbUnavailable,
  type SqlParam,
  type TransactionOptions,
  type Tx,
} from "@qmtl/service-kit/db";

/** A database that does not answer while `isDown` is set. */
export class OutageDb implements Db {
  readonly #db: Db;
  isDown = false;
  /** What every call fails with while it is down. */
  failure: DbError = new DbUnavailable("the test has taken the database away");

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
    return this.#db.query<Row>(sql, params);
  }

  async script(sql: string): Promise<void> {
    this.#check();
    await this.#db.script(sql);
  }

  async transaction<T>(fn: (tx: Tx) => Promise<T>, options?: TransactionOptions): Promise<T> {
    this.#check();
    return this.#db.transaction(fn, options);
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
