import type { Queryable } from "./db.ts";
import { DbUnavailable } from "./db-errors.ts";

/** A process of the server that serves one connection. */
export interface Backend {
  readonly pid: number;
  /** When it began, as the server writes it: pids are used again. */
  readonly began: string;
}

/** Those of `$1` and `$2`, pids and when they began, that have not ended. */
const stillThere = `from unnest($1::int[], $2::text[]) as lost (pid, began)
  join pg_stat_activity a on a.pid = lost.pid and a.backend_start::text = lost.began`;
/** Longest time that one call waits until lost backends have ended, milliseconds. */
const endMsMax = 5_000;

/**
 * Backends whose connection was lost while a statement or a COMMIT was under way. One of them may carry it out whenever
 * it comes to it, long after its client gave up: so nothing is read or written before it has ended. All `Db`s of one
 * database share one.
 */
export class LostBackends {
  readonly #lost = new Set<Backend>();

  add(backend: Backend): void {
    this.#lost.add(backend);
  }

  get isEmpty(): boolean {
    return this.#lost.size === 0;
  }

  /**
   * Resolves once none of them can store anything any more.
   *
   * @throws {DbUnavailable} when one has not ended within 5 s.
   */
  async end(connection: Queryable): Promise<void> {
    const ending = [...this.#lost];
    const params = [ending.map(({ pid }) => pid), ending.map(({ began }) => began)];
    await connection.query(`select pg_terminate_backend(a.pid, ${endMsMax}) ${stillThere}`, params);
    // False is also what it answers of one that another call has ended meanwhile.
    const left = await connection.query(`select a.pid ${stillThere}`, params);
    if (left.length > 0)
      throw new DbUnavailable("a statement whose outcome was not heard may still be carried out");
    for (const backend of ending) this.#lost.delete(backend);
  }
}

/** The backend of a connection. */
export async function backendOf(connection: Queryable): Promise<Backend> {
  const [backend] = await connection.query<Backend>(
    "select pid, backend_start::text as began from pg_stat_activity where pid = pg_backend_pid()",
  );
  if (backend === undefined) throw new DbUnavailable("the server does not name its backend");
  return backend;
}
