import type { QmtlError } from "@qmtl/sdk/rpc";
import type { Db, Queryable, SqlParam, TransactionOptions, Tx } from "@qmtl/service-kit/db";
import { type GuardedDb, overParams, type SqlWrite } from "../store/writes.ts";

interface LeasedDbPorts {
  /** True while the caller may write: compared by the database in the statement or transaction of each write. */
  readonly guard: () => SqlWrite;
  /** The error of a write that came too late. */
  readonly refusal: () => Promise<QmtlError>;
}

const reads = /^\s*select\b/i;
const singleWrites = /^\s*(insert|update|delete)\b/i;
const returns = /\breturning\b/i;
/** SQL state of a guard that does not hold, which divides by zero. */
const divisionByZero = "22012";

/**
 * A database as the order router of one gateway sees it: it reads as usual, and what it writes is stored only while the
 * gateway holds its accounts. A gateway that was deposed, however late it learns of it, writes nothing more.
 */
export class LeasedDb implements GuardedDb {
  readonly unguarded: Db;
  readonly #ports: LeasedDbPorts;

  constructor(db: Db, ports: LeasedDbPorts) {
    this.unguarded = db;
    this.#ports = ports;
  }

  get kind(): Db["kind"] {
    return this.unguarded.kind;
  }

  get schema(): string {
    return this.unguarded.schema;
  }

  get guard(): SqlWrite {
    return this.#ports.guard();
  }

  refusal(): Promise<QmtlError> {
    return this.#ports.refusal();
  }

  async query<Row extends object>(sql: string, params: readonly SqlParam[] = []): Promise<Row[]> {
    if (reads.test(sql)) return this.unguarded.query<Row>(sql, params);
    if (!singleWrites.test(sql)) return this.transaction((tx) => tx.query<Row>(sql, params));
    const guarded = guardedStatement({ sql, params }, this.guard);
    try {
      const rows = await this.unguarded.query<Row>(guarded.sql, guarded.params);
      return returns.test(sql) ? rows : [];
    } catch (failure) {
      if (isGuardFailure(failure)) throw await this.refusal();
      throw failure;
    }
  }

  script(sql: string): Promise<void> {
    return this.transaction((tx) => tx.script(sql));
  }

  transaction<T>(fn: (tx: Tx) => Promise<T>, options?: TransactionOptions): Promise<T> {
    return this.unguarded.transaction(async (tx) => {
      // Sent before anything of `fn`, and answered by the time it ends, so no extra round trip.
      const held = this.#holds(tx);
      held.catch(() => {});
      try {
        const result = await fn(tx);
        if (await held) return result;
      } catch (failure) {
        // What another gateway wrote meanwhile may be the cause.
        if (await held.catch(() => true)) throw failure;
      }
      throw await this.refusal();
    }, options);
  }

  close(): Promise<void> {
    return this.unguarded.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #holds(tx: Queryable): Promise<boolean> {
    const { sql, params } = this.guard;
    const [row] = await tx.query<{ holds: boolean }>(`SELECT ${sql} AS holds`, params);
    return row?.holds === true;
  }
}

/** One statement that writes only while the guard holds; its rows are those of the write. */
function guardedStatement(write: SqlWrite, guard: SqlWrite): SqlWrite {
  const condition = overParams(guard, write.params.length);
  const check = `SELECT 1 / coalesce(${condition.sql}, false)::int AS holds`;
  // Without rows of the write the check need not be made, and nothing was written; it is made with the first row.
  const rows = returns.test(write.sql)
    ? "SELECT written.* FROM written, guard WHERE guard.holds = 1"
    : "SELECT holds FROM guard";
  return {
    sql: `WITH written AS (${write.sql}), guard AS MATERIALIZED (${check}) ${rows}`,
    params: [...write.params, ...condition.params],
  };
}

function isGuardFailure(failure: unknown): boolean {
  return failure instanceof Error && "sqlState" in failure && failure.sqlState === divisionByZero;
}
