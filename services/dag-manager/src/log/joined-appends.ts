import { setImmediate } from "node:timers/promises";
import { DbError } from "@qmtl/service-kit/db";
import type { KnownAppend } from "./append-known.ts";
import type { LogEntry } from "./queue-log.ts";

/** Largest number of entries and heads, counted together, in one joined statement; a larger append is written alone. */
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
 * Joins appends over known heads that arrive at the same time, or while others are being written, into one statement
 * and one commit. If a joined statement writes nothing, each of its appends is written by itself.
 */
export class JoinedAppends {
  readonly #write: Write;
  readonly #waiting: Waiting[] = [];
  #isRunning = false;

  constructor(write: Write) {
    this.#write = write;
  }

  /**
   * Resolves to false, with nothing written, when a head has moved. The caller sees to it that no two appends of one
   * key are under way at once.
   */
  write(append: Append): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...append, resolve, reject });
      if (!this.#isRunning) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    // Appends that came in with the same read of the sockets are joined with this one.
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

  /** Resolves to false when each must be written by itself. */
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
      // A statement that the database refused has stored nothing; after any other failure the outcome is unknown.
      if (failure instanceof DbError && failure.sqlState !== undefined) return false;
      for (const { reject } of appends) reject(failure);
      return true;
    }
  }
}
