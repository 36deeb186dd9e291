import { QmtlError } from "@qmtl/sdk/rpc";
import { type Clock, systemClock } from "../clock.ts";
import type { DependencyMonitor } from "../dependency-monitor.ts";
import type { LogFields, Logger } from "../logger.ts";
import { DisabledDb, isDisabled } from "./disabled-db.ts";
import { DATABASE, outageOf } from "./outage-of.ts";

/** Largest number of different log lines of one outage that are counted separately; others are counted together. */
const LINES_MAX = 20;
const OTHER_LINES = "other";
/** How long the same line of a process that leads no more is not repeated, milliseconds. */
const LEAD_LOST_QUIET_MS = 10_000;

/** Something this process depends on. */
export interface DependencyState {
  /** `database`, `event bus`, or the name of a peer. */
  readonly name: string;
  /** False since the first failure after the last answer. */
  readonly isUp: boolean;
  /** Since when it has been down, wall-clock milliseconds; undefined while it is up. */
  readonly downSinceMs: number | undefined;
}

/** Name of the dependency on a peer's work, monitored apart from whether the peer answers. */
export const workOf = (peer: string): string => `work of ${peer}`;

/** The log lines at the beginning and at the end of an outage. */
interface OutageLines {
  readonly begins: string;
  readonly ends: string;
}

/** How the outages of a dependency are logged. */
interface DependencyLines extends OutageLines {
  /** Lines for the wait before the first answer, of a process that was started first. @default as for any outage */
  readonly atStart?: OutageLines;
  /** Its outage ends the process, and what else fails from then on fails because of it. @default false */
  readonly endsProcess?: boolean;
}

const silence = (name: string): OutageLines => ({
  begins: `the ${name} does not answer; failures are counted until it does`,
  ends: `the ${name} answers again`,
});

class Dependency implements DependencyMonitor {
  readonly name: string;
  readonly #owner: OutageLog;
  readonly #words: DependencyLines;
  readonly #lines = new Map<string, number>();
  #hasAnswered = false;
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  #down: { readonly sinceMs: number; readonly atMs: number } | undefined;
  #failures = 0;

  constructor(name: string, words: DependencyLines, owner: OutageLog) {
    this.name = name;
    this.#words = words;
    this.#owner = owner;
  }

  get state(): DependencyState {
    const downSinceMs = this.#down?.sinceMs;
    return { name: this.name, isUp: this.#down === undefined, downSinceMs };
  }

  /** True when it is down and the process ends because of it. */
  get isEnd(): boolean {
    return this.#down !== undefined && this.#words.endsProcess === true;
  }

  answered(): void {
    // Called after every call, so it does almost nothing while all is well.
    if (this.#down === undefined) {
      this.#hasAnswered = true;
      return;
    }
    const { atMs } = this.#down;
    const { ends } = this.#lasting;
    const { clock, logger } = this.#owner;
    this.#answeredAtMs = clock.monotonicMs();
    this.#down = undefined;
    this.#hasAnswered = true;
    logger.info(ends, {
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
    const { clock, logger, isEnding } = this.#owner;
    this.#down = { sinceMs: clock.nowMs(), atMs: clock.monotonicMs() };
    const { begins } = this.#lasting;
    const fields = { dependency: this.name, ...shortCause(failure) };
    if (this.#isStarting) logger.info(begins, fields);
    else if (isEnding) logger.debug(begins, fields);
    else logger.error(begins, fields);
    this.#owner.changed();
  }

  get #isStarting(): boolean {
    return !this.#hasAnswered && this.#words.atStart !== undefined;
  }

  get #lasting(): OutageLines {
    return (this.#isStarting ? this.#words.atStart : undefined) ?? this.#words;
  }

  /** Counts a log line that only repeats the outage; false, and not counted, while this dependency is up. */
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
 * lasted and how much failed; a logger from `quiet` leaves out the lines in between that only repeat it.
 */
export class OutageLog {
  readonly clock: Clock;
  /** Where outages are logged: the logger underneath. */
  readonly logger: Logger;
  readonly #dependencies = new Map<string, Dependency>();
  readonly #listeners = new Set<() => void>();
  readonly #disabled: DisabledDb;
  /** When a line was last due because this process leads no more, monotonic milliseconds. */
  readonly #leadLost = new Map<string, number>();

  constructor(logger: Logger, clock: Clock = systemClock) {
    this.logger = logger;
    this.clock = clock;
    this.#disabled = new DisabledDb(logger, clock);
  }

  /** The monitor of a dependency; the same one for the same name. */
  monitor(name: string): DependencyMonitor {
    return this.#monitor(name, silence(name));
  }

  /** The monitor of whether a service behind this one answers; that one may be started later. */
  monitorPeer(name: string): DependencyMonitor {
    const begins = `the ${name} does not answer yet; failures are counted until it does`;
    const atStart = { begins, ends: `the ${name} answers` };
    return this.#monitor(name, { ...silence(name), atStart });
  }

  /** The monitor of whether a service that answers can work: its own store may be down, or nobody leads. */
  monitorWork(peer: string): DependencyMonitor {
    const begins = `the ${peer} answers, but cannot work; failures are counted until it can`;
    return this.#monitor(workOf(peer), { begins, ends: `the ${peer} can work again` });
  }

  /** The monitor of a database in a folder. Its loss ends the process: logged once, as an outage without end. */
  monitorFolder(folder: string): DependencyMonitor {
    const begins = `the database of folder ${folder} was lost, so this process ends; nothing that was stored is lost: start it again`;
    return this.#monitor(DATABASE, { ...silence(DATABASE), begins, endsProcess: true });
  }

  /** True when the process ends because something is down. */
  get isEnding(): boolean {
    return [...this.#dependencies.values()].some(({ isEnd }) => isEnd);
  }

  #monitor(name: string, words: DependencyLines): DependencyMonitor {
    const known = this.#dependencies.get(name);
    if (known !== undefined) return known;
    const made = new Dependency(name, words, this);
    this.#dependencies.set(name, made);
    this.changed();
    return made;
  }

  /** Everything that is monitored, in the order in which it was first named. */
  states(): DependencyState[] {
    return [...this.#dependencies.values()].map((each) => each.state);
  }

  /** Calls `listener` when something is first named, goes down or comes back. Returns the unsubscribe function. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * A logger that passes lines to `inner`, except warnings and errors whose `error` or `failure` is an outage: if that
   * is logged already, the line is counted and passed on as debug; otherwise it is passed on with the reason and a
   * short text, since a stack says nothing about what is down. A database that answers and cannot do its work, as with
   * a full disk, is logged once when it begins, whichever line shows it. What fails because another process leads by now
   * is an info, without a stack.
   */
  quiet(inner: Logger = this.logger): Logger {
    const log = (level: "warn" | "error", message: string, fields: LogFields | undefined): void => {
      const cause = fields?.error ?? fields?.failure;
      const outage = outageOf(cause);
      if (isLeadLost(cause)) this.#logLeadLost(inner, message, fields ?? {}, cause);
      else if (outage === undefined) inner[level](message, fields);
      else if (this.#isLogged(outage.subject, message)) inner.debug(message, fields);
      else if (isDisabled(outage.failure)) {
        this.#disabled.cover(message, outage.failure);
        inner.debug(message, fields);
      } else {
        inner[level](message, { ...withoutCause(fields ?? {}), ...shortCause(outage.failure) });
      }
    };
    return {
      debug: (message, fields) => inner.debug(message, fields),
      info: (message, fields) => inner.info(message, fields),
      warn: (message, fields) => log("warn", message, fields),
      error: (message, fields) => log("error", message, fields),
      child: (fields) => this.quiet(inner.child(fields)),
    };
  }

  /** What fails because another process leads by now is as it should be: no error, no stack, and once per takeover. */
  #logLeadLost(inner: Logger, message: string, fields: LogFields, cause: Error): void {
    const nowMs = this.clock.monotonicMs();
    const lastMs = this.#leadLost.get(message) ?? Number.NEGATIVE_INFINITY;
    this.#leadLost.set(message, nowMs);
    const level = nowMs - lastMs > LEAD_LOST_QUIET_MS ? "info" : "debug";
    inner[level](message, { ...withoutCause(fields), ...shortCause(cause) });
  }

  #isLogged(subject: string, message: string): boolean {
    const names = [subject, workOf(subject)];
    return names.some((name) => this.#dependencies.get(name)?.cover(message) ?? false);
  }

  /** @internal */
  changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

function withoutCause({ error: _error, failure: _failure, ...others }: LogFields): LogFields {
  return others;
}

/** True for the refusal of a process that does not lead any more, not that of a service behind it. */
function isLeadLost(failure: unknown): failure is QmtlError {
  return (
    failure instanceof QmtlError &&
    failure.reason === "NOT_LEADER" &&
    failure.metadata.peer === undefined
  );
}

/** Longest text of a failure in a line, characters. */
const WHY_CHARS_MAX = 300;

/** The fields by which an outage is logged: the stable reason and the first line of the text of its failure. */
function shortCause(failure: unknown): LogFields {
  if (!(failure instanceof Error)) return { why: String(failure).slice(0, WHY_CHARS_MAX) };
  const [why = ""] = failure.message.split("\n");
  const reason = "reason" in failure ? { reason: failure.reason } : {};
  return { ...reason, why: why.slice(0, WHY_CHARS_MAX) };
}
