import { type Clock, sleep, systemClock } from "../clock.ts";
import type { Db } from "../db/db.ts";
import { type Logger, silentLogger } from "../logger.ts";
import { deliver } from "./deliver.ts";
import { EmbeddedLog } from "./embedded-log.ts";
import {
  BusError,
  checkBatch,
  checkTopicName,
  type EventBus,
  type OutgoingEvent,
  type SubscribeOptions,
  type Subscription,
  type TopicSpec,
} from "./event-bus.ts";

export interface EmbeddedBusOptions {
  /** Database; the bus owns its schema, usually `bus`. */
  db: Db;
  /** Newest events kept, over all topics; older ones are deleted, read or not. @default 200000 */
  retentionEventsMax?: number;
  /** Milliseconds between looks at the log when nobody in this process publishes. @default 1000 */
  pollMs?: number;
  logger?: Logger;
  clock?: Clock;
}

/** Events read at once by one subscriber. */
const READ_MAX = 256;
/** Events between two trims. */
const TRIM_EVERY = 1_000;

/**
 * The bus of the embedded shape: an append log in the services' own database. Make one for a database; groups share
 * events only within it: one subscriber of a group is served, the others stand by.
 */
class EmbeddedBus implements EventBus {
  readonly kind = "embedded";
  readonly #log: EmbeddedLog;
  readonly #options: Required<Omit<EmbeddedBusOptions, "db">>;
  readonly #closing = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();
  /** Wakes a sleeping subscriber. */
  readonly #wakers = new Set<() => void>();
  /** Resolves when the subscriber that a group is served by has ended. */
  readonly #groups = new Map<string, Promise<void>>();
  #publishedSinceTrim = 0;

  constructor(log: EmbeddedLog, options: Required<Omit<EmbeddedBusOptions, "db">>) {
    this.#log = log;
    this.#options = options;
  }

  async ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    for (const { topic } of topics) checkTopicName(topic);
    await this.#track(this.#log.addTopics(topics.map(({ topic }) => topic)));
  }

  publish(topic: string, key: string, payload: Uint8Array, headers = {}): Promise<void> {
    return this.publishBatch([{ topic, key, payload, headers }]);
  }

  async publishBatch(events: readonly OutgoingEvent[]): Promise<void> {
    checkBatch(events);
    this.#checkOpen();
    if (events.length > 0) await this.#track(this.#append(events));
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    this.#checkOpen();
    const start = options.fromBeginning ? 0 : await this.#log.newest();
    const { groupId } = options;
    if (groupId !== undefined) await this.#log.joinGroup(groupId, options.topics, start);
    const signal = AbortSignal.any([options.signal, this.#closing.signal]);
    const done = this.#track(
      this.#inTurn(groupId, () => this.#serve({ ...options, signal }, start)),
    );
    done.catch(() => {}); // whoever is interested awaits it
    return { done };
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#underWay);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #append(events: readonly OutgoingEvent[]): Promise<void> {
    const last = await this.#log.append(events);
    for (const wake of this.#wakers) wake();
    this.#publishedSinceTrim += events.length;
    if (this.#publishedSinceTrim >= TRIM_EVERY) {
      this.#publishedSinceTrim = 0;
      await this.#log.trim(last - this.#options.retentionEventsMax).catch((error: unknown) => {
        this.#options.logger.warn("trimming the bus failed", { error });
      });
    }
  }

  /** Runs `serve` when no earlier subscriber of the group is left. */
  async #inTurn(groupId: string | undefined, serve: () => Promise<void>): Promise<void> {
    if (groupId === undefined) return serve();
    const turn = (this.#groups.get(groupId) ?? Promise.resolve()).then(serve);
    const ended = turn.catch(() => {});
    this.#groups.set(groupId, ended);
    try {
      await turn;
    } finally {
      if (this.#groups.get(groupId) === ended) this.#groups.delete(groupId);
    }
  }

  async #serve(options: SubscribeOptions, start: number): Promise<void> {
    const { signal, groupId, topics } = options;
    const positions =
      groupId === undefined || signal.aborted
        ? new Map(topics.map((topic) => [topic, start]))
        : await this.#log.joinGroup(groupId, topics, start);
    while (!signal.aborted) {
      const waker = this.#waker(signal);
      const isMore = await this.#serveBatch(options, positions).catch((error: unknown) => {
        this.#options.logger.warn("reading the bus failed; trying again", { error });
        return false;
      });
      if (!isMore) await waker.woken();
      waker.dispose();
    }
  }

  /** Delivers what there is, up to READ_MAX. True when there may be more. */
  async #serveBatch(options: SubscribeOptions, positions: Map<string, number>): Promise<boolean> {
    const { signal, groupId, onEvent } = options;
    const { clock, logger } = this.#options;
    const events = await this.#log.read(positions, READ_MAX);
    try {
      for (const event of events) {
        if (!(await deliver(event, { onEvent, signal, clock, logger }))) return false;
        positions.set(event.topic, event.position);
      }
    } finally {
      if (groupId !== undefined && events.length > 0) await this.#log.saveGroup(groupId, positions);
    }
    return events.length === READ_MAX;
  }

  /** Made before reading, so that what is published during the read is not slept over. */
  #waker(signal: AbortSignal): { woken(): Promise<void>; dispose(): void } {
    const wakened = new AbortController();
    const wake = () => wakened.abort();
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

  #checkOpen(): void {
    if (this.#closing.signal.aborted) throw new BusError("BUS_UNAVAILABLE", "the bus is closed");
  }

  #track<T>(work: Promise<T>): Promise<T> {
    const tracked = work.finally(() => this.#underWay.delete(tracked));
    this.#underWay.add(tracked);
    return tracked;
  }
}

/** Opens the bus and makes its tables. The caller closes the bus before the database. */
export async function openEmbeddedBus(options: EmbeddedBusOptions): Promise<EventBus> {
  const log = await EmbeddedLog.open(options.db);
  return new EmbeddedBus(log, {
    retentionEventsMax: options.retentionEventsMax ?? 200_000,
    pollMs: options.pollMs ?? 1_000,
    logger: options.logger ?? silentLogger,
    clock: options.clock ?? systemClock,
  });
}
