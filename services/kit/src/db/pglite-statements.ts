// Loaded by a worker thread, so it imports relative files and npm packages only.
import { protocol } from "@electric-sql/pglite";

/** Largest number of statements kept parsed; beyond it the least recently used one is closed. */
export const preparedMax = 256;
/** Runs after which a statement is parsed anew: its plan was made for the table sizes of that time. */
export const preparedRunsMax = 500;

interface Prepared {
  readonly name: string;
  runs: number;
}

/** How to run a statement: its name, and the messages that must be sent first. */
export interface PreparedRun {
  readonly name: string;
  readonly messages: readonly Uint8Array[];
  /** It is parsed in this very run, so it does not exist if the run fails. */
  readonly isNew: boolean;
}

/**
 * Statements that the one connection keeps parsed, by their text: most cost more to parse and plan than to run. Nothing
 * is shared between texts; a changed schema makes the server plan again by itself.
 */
export class PgliteStatements {
  /** Least recently used first. */
  readonly #prepared = new Map<string, Prepared>();
  /** Names that are closed with the next run. */
  #stale: string[] = [];
  #made = 0;

  get size(): number {
    return this.#prepared.size;
  }

  /** How to run `sql` now. */
  run(sql: string): PreparedRun {
    const known = this.#prepared.get(sql);
    this.#prepared.delete(sql);
    if (known !== undefined && known.runs < preparedRunsMax) {
      known.runs += 1;
      this.#prepared.set(sql, known);
      return { name: known.name, messages: this.#closeStale(), isNew: false };
    }
    if (known !== undefined) this.#stale.push(known.name);
    this.#made += 1;
    const name = `q${this.#made}`;
    this.#prepared.set(sql, { name, runs: 1 });
    if (this.#prepared.size > preparedMax) this.#forgetOldest();
    const parse = protocol.serialize.parse({ name, text: sql });
    return { name, messages: [...this.#closeStale(), parse], isNew: true };
  }

  /** Closes a statement that could not be parsed, or that no longer fits its tables. */
  forget(sql: string): void {
    const known = this.#prepared.get(sql);
    if (known === undefined) return;
    this.#prepared.delete(sql);
    this.#stale.push(known.name);
  }

  /** Closes every statement; for a script, which may change any table. */
  forgetAll(): void {
    this.#stale.push(...[...this.#prepared.values()].map(({ name }) => name));
    this.#prepared.clear();
  }

  #forgetOldest(): void {
    for (const sql of this.#prepared.keys()) {
      this.forget(sql);
      return;
    }
  }

  /** Closing a name that does not exist is no error. */
  #closeStale(): Uint8Array[] {
    const closed = this.#stale.map((name) => protocol.serialize.close({ type: "S", name }));
    this.#stale = [];
    return closed;
  }
}
