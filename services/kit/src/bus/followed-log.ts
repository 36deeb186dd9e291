import { type Clock, sleep } from "../clock.ts";
import type { Logger } from "../logger.ts";
import { type EmbeddedLog, outboxHeaders } from "./embedded-log.ts";
import {
  type BusEvent,
  type OutboxMove,
  type OutboxRange,
  type OutgoingEvent,
  payloadBytesMax,
} from "./event-bus.ts";
import { RecentEvents } from "./recent-events.ts";

interface FollowedLogOptions {
  /** Newest events kept, over all topics; older ones are deleted, read or not. */
  readonly retentionEventsMax: number;
  /** Milliseconds between checks of the log when nobody in this process appends. */
  readonly pollMs: number;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Called before events up to a position are deleted. @default none */
  readonly beforeTrim?: (position: number) => Promise<void>;
}

/** Events read at once by one reader. */
const READ_MAX = 256;
/** Bytes of payload read at once by one reader, unless the first event alone is larger. */
const READ_BYTES_MAX = 1024 * 1024;
/** Events between two trims. */
const TRIM_EVERY = 1_000;

/** An append log whose readers wait for new events: woken by appends of this process, polling for those of others. */
export class FollowedLog {
  readonly #log: EmbeddedLog;
  readonly #options: FollowedLogOptions;
  readonly #recent = new RecentEvents();
  /** Wakes a sleeping reader. */
  readonly #wakers = new Set<() => void>();
  #appendedSinceTrim = 0;

  constructor(log: EmbeddedLog, options: FollowedLogOptions) {
    this.#log = log;
    this.#options = options;
  }

  /** Appends in order, all or none. @throws {BusError} UNKNOWN_TOPIC */
  async append(events: readonly OutgoingEvent[]): Promise<void> {
    await this.#appended(events, await this.#log.append(events));
  }

  /** Appends the oldest events that wait in an outbox, and marks them as sent. @throws {BusError} UNKNOWN_TOPIC */
  async move(range: OutboxRange): Promise<OutboxMove> {
    const events = await this.#log.move(range);
    const moved = events.filter(({ position }) => position !== null);
    if (moved.length > 0) {
      const { schema } = range;
      const outgoing = moved.map((event) => {
        const { topic, key, payload } = event;
        return { topic, key, payload, headers: outboxHeaders(schema, event) };
      });
      await this.#appended(
        outgoing,
        moved.map(({ position }) => position!),
      );
    }
    return { events, isMoved: moved.length > 0, isRelay: events[0]?.is_relay ?? false };
  }

  async #appended(events: readonly OutgoingEvent[], positions: readonly number[]): Promise<void> {
    this.#recent.add(events, positions);
    for (const wake of this.#wakers) wake();
    this.#appendedSinceTrim += events.length;
    if (this.#appendedSinceTrim < TRIM_EVERY) return;
    this.#appendedSinceTrim = 0;
    await this.#trim(this.#recent.newest - this.#options.retentionEventsMax).catch(
      (error: unknown) => {
        this.#options.logger.warn("trimming the bus failed", { error });
      },
    );
  }

  /**
   * Events after each topic's position as they come, in batches that are never empty. A log that cannot be read is
   * tried again. Ends when the signal aborts.
   */
  async *batches(
    start: ReadonlyMap<string, number>,
    signal: AbortSignal,
  ): AsyncGenerator<BusEvent[]> {
    const positions = new Map(start);
    let failures = 0;
    /** What this process appended up to this position has been read; undefined when that is not known. */
    let readTo: number | undefined;
    while (!signal.aborted) {
      const waker = this.#waker(signal);
      try {
        const { newest } = this.#recent;
        const recent = this.#recent.after(readTo, positions);
        const events = recent ?? (await this.#read(positions, failures));
        failures = events === undefined ? failures + 1 : 0;
        const isAll = events !== undefined && (recent !== undefined || !mayBeMore(events));
        readTo = isAll ? newest : undefined;
        if (events !== undefined && events.length > 0) {
          yield events;
          for (const { topic, position } of events) positions.set(topic, position);
        }
        if (events === undefined || isAll) await waker.woken();
      } finally {
        waker.dispose();
      }
    }
  }

  /** Undefined when the log cannot be read; logged at the first failure, and when reading succeeds again. */
  async #read(
    positions: ReadonlyMap<string, number>,
    failures: number,
  ): Promise<BusEvent[] | undefined> {
    const { logger } = this.#options;
    try {
      const events = await this.#log.read(positions, READ_MAX, READ_BYTES_MAX);
      if (failures > 0) logger.info("the bus can be read again", { failures });
      return events;
    } catch (error) {
      if (failures === 0) logger.warn("reading the bus failed; trying again", { error });
      return undefined;
    }
  }

  async #trim(position: number): Promise<void> {
    if (position <= 0) return;
    await this.#options.beforeTrim?.(position);
    await this.#log.trim(position);
  }

  /** Made before reading, so that the reader does not sleep through an append that comes during the read. */
  #waker(signal: AbortSignal): { woken(): Promise<void>; dispose(): void } {
    const wakened = new AbortController();
    const wake = () => wakened.abort("events were appended");
    this.#wakers.add(wake);
    signal.addEventListener("abort", wake, { once: true });
    return {
      woken: () => sleep(this.#options.clock, this.#options.pollMs, wakened.signal),
      dispose: () => {
        this.#wakers.delete(wake);
        signal.removeEventListener("abort", wake);
      },
    };
  }
}

/** True when one of the bounds may have cut the batch short. */
function mayBeMore(events: readonly BusEvent[]): boolean {
  const bytes = events.reduce((sum, { payload }) => sum + payload.length, 0);
  return events.length === READ_MAX || bytes + payloadBytesMax > READ_BYTES_MAX;
}
