import type { Clock, ClockTimer } from "../clock.ts";
import { SerialQueue } from "../serial-queue.ts";
import type { Queryable, SqlParam, TransactionOptions, Tx } from "./db.ts";
import { DbError, DbUnavailable, UnknownOutcome } from "./db-errors.ts";

/** Statements one transaction may have under way at once without awaiting them. */
const STATEMENTS_WAITING_MAX = 10_000;

const statementsLimit = {
  waitingMax: STATEMENTS_WAITING_MAX,
  refusal: () =>
    new DbError("DB_OVERLOADED", `${STATEMENTS_WAITING_MAX} database calls are already waiting`),
};

/** What a transaction needs of its connection. */
export interface TransactionConnection extends Queryable {
  /** Requests may be sent before the one before them is answered: they are carried out in order. */
  readonly isPipelined: boolean;
  /** Opens a transaction, at the latest with the next request: a BEGIN that is refused refuses that one. */
  begin(sql: string): Promise<void>;
}

class OpenTransaction implements Tx {
  readonly #connection: Queryable;
  readonly #statements: SerialQueue | PipelinedQueue;
  #isOpen = true;
  /** First failed statement; PostgreSQL commits nothing after one. */
  failure: unknown;

  constructor(connection: TransactionConnection) {
    this.#connection = connection;
    this.#statements = connection.isPipelined
      ? new PipelinedQueue(STATEMENTS_WAITING_MAX)
      : new SerialQueue(statementsLimit);
  }

  query<Row extends object>(sql: string, params: readonly SqlParam[] = []): Promise<Row[]> {
    return this.#run(() => this.#connection.query<Row>(sql, params));
  }

  script(sql: string): Promise<void> {
    return this.#run(() => this.#connection.script(sql));
  }

  async #run<T>(statement: () => Promise<T>): Promise<T> {
    if (!this.#isOpen) throw new Error("the transaction has ended");
    try {
      return await this.#statements.run(statement);
    } catch (cause) {
      this.failure ??= cause;
      throw cause;
    }
  }

  /** Refuses further statements and waits for those under way. */
  async end(): Promise<void> {
    this.#isOpen = false;
    await this.#statements.idle();
  }
}

/**
 * Runs one transaction on a connection that nobody else uses meanwhile. Leaves the connection outside of any
 * transaction, or broken (its calls then reject with `DbUnavailable`).
 */
export async function runTransaction<T>(
  connection: TransactionConnection,
  fn: (tx: Tx) => Promise<T>,
  options: TransactionOptions & { clock: Clock; transactionMsMax: number },
): Promise<T> {
  await connection.begin(`begin isolation level ${options.isolation ?? "read committed"}`);
  const tx = new OpenTransaction(connection);
  let result: T;
  try {
    result = await withDeadline(fn(tx), options.clock, options.transactionMsMax);
    await tx.end();
    if (tx.failure !== undefined) {
      const message = "rolled back: a statement of the transaction failed";
      throw new DbError("TRANSACTION_ABORTED", message, { cause: tx.failure });
    }
  } catch (cause) {
    await tx.end();
    // A lost connection has rolled back by itself.
    await connection.query("rollback").catch(() => {});
    throw cause;
  }
  try {
    await connection.query("commit");
  } catch (cause) {
    if (cause instanceof DbUnavailable) {
      throw new UnknownOutcome("connection lost during commit", cause);
    }
    throw cause;
  }
  return result;
}

async function withDeadline<T>(work: Promise<T>, clock: Clock, delayMs: number): Promise<T> {
  let timer: ClockTimer | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = clock.setTimer(() => {
      reject(new DbError("TRANSACTION_TIMEOUT", `transaction open for more than ${delayMs} ms`));
    }, delayMs);
  });
  try {
    return await Promise.race([work, expired]);
  } finally {
    timer?.cancel();
  }
}

/** Starts jobs at once, for a connection that carries them out and answers them in the order they were started. */
class PipelinedQueue {
  readonly #waitingMax: number;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** @param waitingMax jobs under way; one more is refused with `DB_OVERLOADED`. */
  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax;
  }

  run<T>(job: () => Promise<T>): Promise<T> {
    if (this.#waiting >= this.#waitingMax) {
      const message = `${this.#waiting} statements are already in progress`;
      return Promise.reject(new DbError("DB_OVERLOADED", message));
    }
    this.#waiting += 1;
    const result = job().finally(() => {
      this.#waiting -= 1;
    });
    this.#last = result.catch(() => {});
    return result;
  }

  /** Resolves when every job started so far has ended. */
  async idle(): Promise<void> {
    await this.#last;
  }
}
