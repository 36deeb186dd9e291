import { setImmediate } from "node:timers/promises";
import { DbError } from "@qmtl/service-kit/db";
import type { KnownAppend } from "./append-known.ts";
import type { LogEntry } from "./queue-log.ts";

/** Most entries and heads, counted together, that are written in one statement. */
export const joinedEntriesMax = 1_000;

/** Appends of distinct keys, and their entries. */
interface Append {
  readonly heads: readonly KnownAppend[];
  readonly entries: readonly LogEntry[];
}

interface Waiting extends Append {
  resolve(isWritten: boolean): void;
  reject(failure: unknown): void;
}

/** Writes all of it, or nothing: false when a head has moved. */
type Write = (append: Append) => Promise<boolean>;

/**
 * Appends over known heads that come at the same time, or while one is written, are written together: one statement and
 * one commit, whatever their number. If that cannot be, each is written by itself.
 */
export class JoinedAppends {
  readonly #write: Write;
  readonly #waiting: Waiting[] = [];
  #isRunning = false;

  constructor(write: Write) {
    this.#write = write;
  }

  /** A key is in one append under way at most. Resolves to false, with nothing written, when a head has moved. */
  write(append: Append): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...append, resolve, reject });
      if (!this.#isRunning) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    // What came in with the same read of the sockets goes with it.
    await setImmediate();
    while (this.#waiting.length > 0) await this.#writeSome(this.#take());
    this.#isRunning = false;
  }

  #take(): Waiting[] {
    let count = 0;
    const last = this.#waiting.findIndex(({ entries, heads }) => {
      count += entries.length + heads.length;
      return count > joinedEntriesMax;
    });
    return this.#waiting.splice(0, last < 0 ? this.#waiting.length : Math.max(last, 1));
  }

  async #writeSome(appends: readonly Waiting[]): Promise<void> {
    if (appends.length > 1 && (await this.#writeJoined(appends))) return;
    for (const append of appends) {
      await this.#write(append).then(append.resolve, append.reject);
    }
  }

  /** False when each is to be written by itself. */
  async #writeJoined(appends: readonly Waiting[]): Promise<boolean> {
    const joined = {
      heads: appends.flatMap(({ heads }) => heads),
      entries: appends.flatMap(({ entries }) => entries),
    };
    try {
      if (!(await this.#write(joined))) return false;
      for (const { resolve } of appends) resolve(true);
      return true;
    } catch (failure) {
      // A statement that the database refused has stored nothing; of any other nobody knows.
      if (failure instanceof DbError && failure.sqlState !== undefined) return false;
      for (const { reject } of appends) reject(failure);
      return true;
    }
  }
}
