import { type Clock, systemClock } from "../clock.ts";
import type { Db } from "../db/db.ts";
import { type Logger, silentLogger } from "../logger.ts";
import { KeyedSerialQueue } from "../serial-queue.ts";
import { BusWork } from "./bus-work.ts";
import { deliver } from "./deliver.ts";
import { EmbeddedLog } from "./embedded-log.ts";
import {
  checkBatch,
  checkTopicName,
  type EventBus,
  type OutboxMove,
  type OutboxRange,
  type OutgoingEvent,
  type SubscribeOptions,
  type Subscription,
  type TopicSpec,
} from "./event-bus.ts";
import { FollowedLog } from "./followed-log.ts";

export interface EmbeddedBusOptions {
  /** Database; the bus owns its schema, usually `bus`. */
  db: Db;
  /** Newest events kept, over all topics; older ones are deleted, read or not. @default 200000 */
  retentionEventsMax?: number;
  /** Milliseconds between checks of the log when nobody in this process publishes. @default 1000 */
  pollMs?: number;
  logger?: Logger;
  clock?: Clock;
}

type FilledOptions = Required<Omit<EmbeddedBusOptions, "db">>;

/**
 * The bus of the embedded shape: an append log in the services' own database. Open one per database: groups share
 * events only within one bus, where one subscriber of a group is served and the others stand by.
 */
class EmbeddedBus implements EventBus {
  readonly kind = "embedded";
  readonly services = [];
  readonly #log: EmbeddedLog;
  readonly #followed: FollowedLog;
  readonly #options: FilledOptions;
  readonly #work = new BusWork();
  /** Subscribers of one group: one is served, the others stand by until it ends. */
  readonly #groups = new KeyedSerialQueue();

  constructor(log: EmbeddedLog, options: FilledOptions) {
    this.#log = log;
    this.#followed = new FollowedLog(log, options);
    this.#options = options;
  }

  async ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    for (const { topic } of topics) checkTopicName(topic);
    await this.#work.track(this.#log.addTopics(topics.map(({ topic }) => topic)));
  }

  publish(topic: string, key: string, payload: Uint8Array, headers = {}): Promise<void> {
    return this.publishBatch([{ topic, key, payload, headers }]);
  }

  async publishBatch(events: readonly OutgoingEvent[]): Promise<void> {
    checkBatch(events);
    this.#work.checkOpen();
    if (events.length > 0) await this.#work.track(this.#followed.append(events));
  }

  async moveOutbox(range: OutboxRange): Promise<OutboxMove> {
    this.#work.checkOpen();
    return this.#work.track(this.#followed.move(range));
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    this.#work.checkOpen();
    const start = options.fromBeginning ? 0 : await this.#log.newest();
    const { groupId } = options;
    if (groupId !== undefined) await this.#log.joinGroup(groupId, options.topics, start);
    const signal = AbortSignal.any([options.signal, this.#work.closing]);
    const done = this.#work.track(
      this.#groups.run(groupId === undefined ? [] : [groupId], () =>
        this.#serve({ ...options, signal }, start),
      ),
    );
    done.catch(() => {}); // whoever is interested awaits it
    return { done };
  }

  async close(): Promise<void> {
    await this.#work.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #serve(options: SubscribeOptions, start: number): Promise<void> {
    const { signal, groupId, topics, onEvent } = options;
    const { clock, logger } = this.#options;
    const positions =
      groupId === undefined || signal.aborted
        ? new Map(topics.map((topic) => [topic, start]))
        : await this.#log.joinGroup(groupId, topics, start);
    for await (const events of this.#followed.batches(positions, signal)) {
      try {
        for (const event of events) {
          if (!(await deliver(event, { onEvent, signal, clock, logger }))) return;
          positions.set(event.topic, event.position);
        }
      } finally {
        if (groupId !== undefined) await this.#saveGroup(groupId, positions);
      }
    }
  }

  /** Logs a failure and goes on: after a position that was not saved, events are delivered again. */
  async #saveGroup(groupId: string, positions: ReadonlyMap<string, number>): Promise<void> {
    await this.#log.saveGroup(groupId, positions).catch((error: unknown) => {
      this.#options.logger.warn("the position of a group could not be saved", { groupId, error });
    });
  }
}

/** Opens the bus and creates its tables. The caller closes the bus before the database. */
export async function openEmbeddedBus(options: EmbeddedBusOptions): Promise<EventBus> {
  const log = await EmbeddedLog.open(options.db);
  return new EmbeddedBus(log, {
    retentionEventsMax: options.retentionEventsMax ?? 200_000,
    pollMs: options.pollMs ?? 1_000,
    logger: options.logger ?? silentLogger,
    clock: options.clock ?? systemClock,
  });
}
