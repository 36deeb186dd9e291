import { type Clock, systemClock } from "../clock.ts";
import type { LogFields, Logger } from "../logger.ts";
import { outageOf } from "./outage-of.ts";

/** Different lines of one outage that are counted each by itself; the others are counted together. */
const LINES_MAX = 20;
const OTHER_LINES = "other";

/** Something this process depends on. */
export interface DependencyState {
  /** `database`, `event bus`, or the name of a peer. */
  readonly name: string;
  /** False since the first failure after the last answer. */
  readonly isUp: boolean;
  /** Since when it has been down, wall-clock milliseconds; undefined while it is up. */
  readonly downSinceMs: number | undefined;
}

/** Reports how calls to one dependency end. */
export interface DependencyMonitor {
  /** A call was answered, be it with a refusal. */
  answered(): void;
  /**
   * A call that began at `beganAtMs` (monotonic) was not answered. Ignored when something else was answered since: it
   * belongs to an outage that is over.
   */
  failed(failure: unknown, beganAtMs: number): void;
}

class Dependency implements DependencyMonitor {
  readonly name: string;
  readonly #owner: OutageLog;
  readonly #lines = new Map<string, number>();
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  #down: { readonly sinceMs: number; readonly atMs: number } | undefined;
  #failures = 0;

  constructor(name: string, owner: OutageLog) {
    this.name = name;
    this.#owner = owner;
  }

  get state(): DependencyState {
    const downSinceMs = this.#down?.sinceMs;
    return { name: this.name, isUp: this.#down === undefined, downSinceMs };
  }

  answered(): void {
    // Every call comes here: two comparisons while all is well.
    if (this.#down === undefined) return;
    const { atMs } = this.#down;
    const { clock, logger } = this.#owner;
    this.#answeredAtMs = clock.monotonicMs();
    this.#down = undefined;
    logger.info(`the ${this.name} answers again`, {
      dependency: this.name,
      failedCalls: this.#failures,
      downMs: Math.round(this.#answeredAtMs - atMs),
      ...(this.#lines.size === 0 ? {} : { linesNotWritten: Object.fromEntries(this.#lines) }),
    });
    this.#lines.clear();
    this.#failures = 0;
    this.#owner.changed();
  }

  failed(failure: unknown, beganAtMs: number): void {
    if (beganAtMs < this.#answeredAtMs) return;
    this.#failures += 1;
    if (this.#down !== undefined) return;
    const { clock, logger } = this.#owner;
    this.#down = { sinceMs: clock.nowMs(), atMs: clock.monotonicMs() };
    logger.error(`the ${this.name} does not answer; failures are counted until it does`, {
      dependency: this.name,
      failure,
    });
    this.#owner.changed();
  }

  /** Counts a line that only repeats what was said; false while nothing is down. */
  cover(message: string): boolean {
    if (this.#down === undefined) return false;
    const isKnown = this.#lines.has(message) || this.#lines.size < LINES_MAX;
    const line = isKnown ? message : OTHER_LINES;
    this.#lines.set(line, (this.#lines.get(line) ?? 0) + 1);
    return true;
  }
}

/**
 * The outages of what a process depends on. Each is logged once when it begins, and once when it ends with how long it
 * lasted and how much failed; `logger` leaves out the lines in between that only say the same again.
 */
export class OutageLog {
  readonly clock: Clock;
  /** Where outages are logged: the logger underneath. */
  readonly logger: Logger;
  readonly #dependencies = new Map<string, Dependency>();
  readonly #listeners = new Set<() => void>();

  constructor(logger: Logger, clock: Clock = systemClock) {
    this.logger = logger;
    this.clock = clock;
  }

  /** What reports about a dependency; the same one for the same name. */
  monitor(name: string): DependencyMonitor {
    const known = this.#dependencies.get(name);
    if (known !== undefined) return known;
    const made = new Dependency(name, this);
    this.#dependencies.set(name, made);
    this.changed();
    return made;
  }

  /** Everything that is monitored, in the order it was named. */
  states(): DependencyState[] {
    return [...this.#dependencies.values()].map((each) => each.state);
  }

  /** Calls back whenever something goes down or comes back. Returns the unsubscribe function. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** `inner`, but for warnings and errors whose `error` or `failure` is an outage that was logged: those are counted. */
  quiet(inner: Logger = this.logger): Logger {
    const isTold = (message: string, fields: LogFields | undefined): boolean => {
      const outage = outageOf(fields?.error ?? fields?.failure);
      if (outage === undefined) return false;
      return this.#dependencies.get(outage.subject)?.cover(message) ?? false;
    };
    return {
      debug: (message, fields) => inner.debug(message, fields),
      info: (message, fields) => inner.info(message, fields),
      warn: (message, fields) => {
        if (isTold(message, fields)) inner.debug(message, fields);
        else inner.warn(message, fields);
      },
      error: (message, fields) => {
        if (isTold(message, fields)) inner.debug(message, fields);
        else inner.error(message, fields);
      },
      child: (fields) => this.quiet(inner.child(fields)),
    };
  }

  /** @internal */
  changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
