import { Worker } from "node:worker_threads";
import type { SqlParam } from "./db.ts";
import { DbUnavailable, dbErrorFromServer } from "./db-errors.ts";
import type { PgliteAnswer, PgliteRequest, PgliteWorkerData } from "./pglite-messages.ts";
import type { TransactionConnection } from "./run-transaction.ts";
import { type EncodedParam, encodeParams } from "./sql-param.ts";

interface Waiting {
  resolve(rows: unknown[]): void;
  reject(cause: unknown): void;
}

/** The one connection to a PGlite worker. Requests are answered in order. */
export class PgliteConnection implements TransactionConnection {
  readonly isPipelined = true;
  readonly #worker: Worker;
  readonly #waiting: Waiting[] = [];
  readonly #failed = new AbortController();
  #isClosing = false;
  /** Requests made since the last microtask turn, and the buffers that are moved with them. */
  #outgoing: PgliteRequest[] = [];
  #moved: ArrayBuffer[] = [];
  /** The BEGIN that is sent with the next request. */
  #begin: string | undefined;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on("message", (answers: PgliteAnswer<unknown>[]) => {
      for (const answer of answers) this.#take(answer);
    });
    worker.on("error", (cause) => {
      const why = cause instanceof Error ? cause.message : String(cause);
      this.#fail(`the database worker failed: ${why}`, cause);
    });
    worker.on("exit", (code) => this.#fail(`the database worker ended (${code})`, undefined));
  }

  /** Starts the worker and opens, or creates, the database in `dataDir`. */
  static async open(workerData: PgliteWorkerData): Promise<PgliteConnection> {
    // The same worker, as it is named before and after the build.
    const file = import.meta.url.endsWith(".ts") ? "./pglite-worker.ts" : "./pglite-worker.js";
    const connection = new PgliteConnection(
      new Worker(new URL(file, import.meta.url), { workerData }),
    );
    await new Promise<unknown[]>((resolve, reject) => {
      connection.#waiting.push({ resolve, reject });
    });
    return connection;
  }

  /** Aborts when the worker is lost; everything after that rejects with `DB_UNAVAILABLE`. */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  async query<Row extends object>(sql: string, params: readonly SqlParam[] = []): Promise<Row[]> {
    const { encoded, moved } = ownedParams(encodeParams(params));
    const begin = this.#takeBegin();
    return this.#request<Row>({ kind: "query", sql, params: encoded, begin }, moved);
  }

  async script(sql: string): Promise<void> {
    await this.#request({ kind: "script", sql, begin: this.#takeBegin() }, []);
  }

  async begin(sql: string): Promise<void> {
    this.#begin = sql;
  }

  /** Closes the database cleanly and ends the worker. */
  async close(): Promise<void> {
    this.#isClosing = true;
    if (!this.#failed.signal.aborted) await this.#request({ kind: "close" }, []).catch(() => {});
    await this.#worker.terminate();
  }

  #takeBegin(): string | undefined {
    const begin = this.#begin;
    this.#begin = undefined;
    return begin;
  }

  #request<Row>(request: PgliteRequest, moved: ArrayBuffer[]): Promise<Row[]> {
    if (this.#failed.signal.aborted) {
      return Promise.reject(
        new DbUnavailable("the database is closed", this.#failed.signal.reason),
      );
    }
    return new Promise<Row[]>((resolve, reject) => {
      // The rows were decoded for this very request; their shape is the one its caller stated.
      this.#waiting.push({ resolve: (rows) => resolve(rows as Row[]), reject });
      if (this.#outgoing.length === 0) queueMicrotask(() => this.#send());
      this.#outgoing.push(request);
      this.#moved.push(...moved);
    });
  }

  /** Sends the requests that were made together in one message. */
  #send(): void {
    const requests = this.#outgoing;
    const moved = this.#moved;
    this.#outgoing = [];
    this.#moved = [];
    this.#worker.postMessage(requests, moved);
  }

  #take(answer: PgliteAnswer<unknown>): void {
    if (answer.kind === "fatal") {
      this.#fail(`the database failed: ${answer.message}`, undefined);
      return;
    }
    const waiting = this.#waiting.shift();
    if (waiting === undefined) return;
    if (answer.kind === "ready") waiting.resolve([]);
    else if (answer.kind === "rows") waiting.resolve(answer.rows);
    else if (answer.kind === "undecodable") waiting.reject(new RangeError(answer.message));
    else waiting.reject(dbErrorFromServer(answer.error));
  }

  #fail(message: string, cause: unknown): void {
    const error = new DbUnavailable(message, cause);
    if (!this.#isClosing) this.#failed.abort(error);
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error);
  }
}

/** Copies bytes into buffers of their own, so that moving them takes nothing away from the caller. */
function ownedParams(params: EncodedParam[]): { encoded: EncodedParam[]; moved: ArrayBuffer[] } {
  const moved: ArrayBuffer[] = [];
  const encoded = params.map((param) => {
    if (!(param instanceof Uint8Array)) return param;
    const copy = new Uint8Array(param);
    moved.push(copy.buffer);
    return copy;
  });
  return { encoded, moved };
}
