import type { Clock, ClockTimer } from "../clock.ts";
import { DbError } from "../db/db-errors.ts";
import type { LogFields, Logger } from "../logger.ts";

/** SQLSTATEs of a server that cannot do its work now: out of resources, its disk fails, it is a read-only standby. */
const DISABLED = /^(53|58|25006)/;
const DISK_FULL = "53100";
/** How long no failure is seen until it counts as over, milliseconds: whatever failed is tried again each second. */
const QUIET_MS = 5_000;
/** Longest text of a failure in a line, characters. */
const WHY_CHARS_MAX = 300;

/** True when the database answers, but cannot do its work. */
export function isDisabled(failure: unknown): failure is DbError {
  return failure instanceof DbError && DISABLED.test(failure.sqlState ?? "");
}

/** Why the database cannot do its work, for people. */
export function whyDisabled({ sqlState, message }: DbError): string {
  const [first = ""] = message.split("\n");
  const why = first.slice(0, WHY_CHARS_MAX);
  return sqlState === DISK_FULL ? `no space left on device (${why})` : why;
}

/**
 * A time in which the database answers, but cannot do its work, as with a full disk: it may still read. One line when it
 * begins, and one once nothing has failed for some seconds.
 */
export class DisabledDb {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #lines = new Map<string, number>();
  #since: { readonly beganMs: number; lastMs: number; failures: number } | undefined;
  #timer: ClockTimer | undefined;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** Counts a line that such a failure would make; the first begins the outage. */
  cover(message: string, failure: DbError): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#since === undefined) {
      this.#since = { beganMs: nowMs, lastMs: nowMs, failures: 0 };
      const why = whyDisabled(failure);
      const line = `the database cannot do its work: ${why}; failures are counted until it can`;
      this.#logger.error(line, { dependency: "database", reason: failure.reason });
    }
    this.#since.lastMs = nowMs;
    this.#since.failures += 1;
    this.#lines.set(message, (this.#lines.get(message) ?? 0) + 1);
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer(() => this.#end(), QUIET_MS);
    this.#timer.unref?.();
  }

  #end(): void {
    if (this.#since === undefined) return;
    const { beganMs, lastMs, failures } = this.#since;
    const fields: LogFields = {
      dependency: "database",
      failedCalls: failures,
      downMs: Math.round(lastMs - beganMs),
      linesNotWritten: Object.fromEntries(this.#lines),
    };
    this.#since = undefined;
    this.#lines.clear();
    this.#logger.info("the database can do its work again", fields);
  }
}
