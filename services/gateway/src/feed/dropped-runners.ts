import { forgetMs } from "@qmtl/core/queues";
import type { Clock, ClockTimer, Logger } from "@qmtl/service-kit";
import type { Queryable } from "@qmtl/service-kit/db";
import {
  type DroppedRunner,
  deleteDroppedRunner,
  putDroppedRunner,
  readDroppedRunners,
} from "../store/dropped-runner-store.ts";
import type { StoredFeed } from "./stored-feeds.ts";
import { reconnectMsMax } from "./timelines.ts";

interface DroppedRunnersPorts {
  /** The gateway's database. */
  readonly db: Queryable;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Pause before a removal that failed is tried again, milliseconds. */
const removeAgainMs = 1_000;

/**
 * The dropped sessions as stored, so that a gateway that starts does not wait for them once more. One that could not be
 * stored is waited for then until it is dropped again. A removal is tried until it succeeds: a gateway that starts would
 * go on without a session that is there.
 */
export class DroppedRunners {
  readonly #ports: DroppedRunnersPorts;
  /** Sessions that are still to be removed. */
  readonly #leaving = new Set<string>();
  #writing: Promise<void> = Promise.resolve();
  #again: ClockTimer | undefined;
  #isClosed = false;

  constructor(ports: DroppedRunnersPorts) {
    this.#ports = ports;
  }

  /** What is stored, once everything before is. */
  async load(): Promise<DroppedRunner[]> {
    await this.#writing;
    return readDroppedRunners(this.#ports.db);
  }

  /** The feeds no longer wait for a session. */
  add(sessionId: string, sources: readonly string[]): void {
    const dropped = { sessionId, sources, timeMs: this.#ports.clock.nowMs() };
    this.#leaving.delete(sessionId);
    this.#write((db) => putDroppedRunner(db, dropped));
  }

  /** A session is waited for again, or has no place in the feeds any more. */
  remove(sessionId: string): void {
    this.#leaving.add(sessionId);
    this.#removeLeaving();
  }

  close(): void {
    this.#isClosed = true;
    this.#again?.cancel();
  }

  #removeLeaving(): void {
    this.#write(async (db) => {
      for (const sessionId of [...this.#leaving]) {
        await deleteDroppedRunner(db, sessionId);
        this.#leaving.delete(sessionId);
      }
    });
  }

  #write(write: (db: Queryable) => Promise<void>): void {
    const { db, clock, logger } = this.#ports;
    this.#writing = this.#writing
      .then(() => write(db))
      .catch((error: unknown) => {
        logger.debug("a dropped runner is not stored", { error });
        if (this.#isClosed || this.#leaving.size === 0) return;
        this.#again ??= clock.setTimer(() => {
          this.#again = undefined;
          this.#removeLeaving();
        }, removeAgainMs);
      });
  }
}

/** A runner of some feeds that was dropped before. */
interface Drop {
  /** Those of the feeds that it runs on. */
  readonly sources: readonly string[];
  /** When it was heard of last, monotonic milliseconds. */
  readonly heardMs: number;
}

/** Those of the runners of feeds that were dropped before, by session, as the gateway that takes the feeds over counts. */
export function dropsOf(
  feeds: readonly StoredFeed[],
  dropped: readonly DroppedRunner[],
  clock: Clock,
): Map<string, Drop> {
  const nowMs = clock.monotonicMs();
  // While this gateway was away it could not be heard.
  const oldestMs = nowMs + reconnectMsMax - forgetMs;
  const drops = new Map<string, Drop>();
  for (const { sessionId, sources, timeMs } of dropped) {
    const own = feeds
      .filter(({ runners }) => runners.some((runner) => runner.sessionId === sessionId))
      .map(({ source }) => source);
    if (own.length === 0 || !own.some((source) => sources.includes(source))) continue;
    const heardMs = Math.max(oldestMs, nowMs - Math.max(0, clock.nowMs() - timeMs));
    drops.set(sessionId, { sources: own, heardMs });
  }
  return drops;
}
