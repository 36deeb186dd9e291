import { OutboxService } from "@qmtl/contracts/qmtl/system/v1/outbox_service_pb";
import { type Clock, systemClock } from "../clock.ts";
import type { Db } from "../db/db.ts";
import { type ServedService, serve } from "../handlers.ts";
import { type Logger, silentLogger } from "../logger.ts";
import { KeyedSerialQueue, SerialQueue } from "../serial-queue.ts";
import { BusWork } from "./bus-work.ts";
import {
  type BusEvent,
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
import type { EventSource } from "./event-source.ts";
import { followSource } from "./follow-source.ts";
import { OutboxLog } from "./outbox-log.ts";

export interface DirectBusOptions {
  /** Database of this service; the bus owns its schema. */
  db: Db;
  /** Services whose events are followed in addition to its own. @default none */
  peers?: readonly EventSource[];
  /** Newest of its own events kept, over all topics; older ones are deleted, read or not. @default 200000 */
  retentionEventsMax?: number;
  /** Milliseconds between checks of its own log when nobody in this process publishes. @default 1000 */
  pollMs?: number;
  logger?: Logger;
  clock?: Clock;
}

type Parts = Required<Pick<DirectBusOptions, "logger" | "clock" | "peers">> & { log: OutboxLog };

/**
 * The bus without a broker: each service keeps the events it publishes in its own database and streams them, by cursor,
 * to those that follow it. What is published here goes to its own log; a subscriber reads its own log and those of the
 * peers. A peer that is away delays its own events and no others.
 *
 * Events of one (topic, key) are in order as long as only one service publishes for the key, which holds for every
 * topic of the platform. Groups share events within one process. What a peer deleted before it was read is not
 * delivered.
 */
class DirectBus implements EventBus {
  readonly kind = "direct";
  readonly services: readonly ServedService[];
  readonly #log: OutboxLog;
  readonly #sources: readonly EventSource[];
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #work = new BusWork();
  /** Subscribers of one group: one is served, the others stand by until it ends. */
  readonly #groups = new KeyedSerialQueue();

  constructor({ log, peers, logger, clock }: Parts) {
    this.services = [outboxService(log)];
    this.#log = log;
    this.#sources = [log, ...peers];
    this.#logger = logger;
    this.#clock = clock;
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
    if (events.length > 0) await this.#work.track(this.#log.append(events));
  }

  async moveOutbox(range: OutboxRange): Promise<OutboxMove> {
    this.#work.checkOpen();
    return this.#work.track(this.#log.move(range));
  }

  /**
   * Without `fromBeginning` it waits for the first answer of every peer: events that one publishes before are missed.
   */
  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    this.#work.checkOpen();
    const { groupId } = options;
    const signal = AbortSignal.any([options.signal, this.#work.closing]);
    const onEvent = oneAtATime(options.onEvent);
    const isStandby = groupId !== undefined && this.#groups.isBusy(groupId);
    let whenLive = () => {};
    const live = new Promise<void>((resolve) => {
      whenLive = resolve;
    });
    const silent = new Set(this.#sources);
    const answered = (source: EventSource) => {
      silent.delete(source);
      if (silent.size === 0) whenLive();
    };
    const followed = { ...options, onEvent, signal };
    const serve = async () => {
      await Promise.all(
        this.#sources.map((source) => this.#follow(source, followed, () => answered(source))),
      );
    };
    const done = this.#work.track(this.#groups.run(groupId === undefined ? [] : [groupId], serve));
    done.catch(() => {}); // whoever is interested awaits it
    if (!options.fromBeginning && !isStandby) await Promise.race([live, done]);
    return { done };
  }

  async close(): Promise<void> {
    await this.#work.close();
    for (const source of this.#sources) source.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #follow(source: EventSource, options: SubscribeOptions, onLive: () => void): Promise<void> {
    const { groupId } = options;
    const topics = [...options.topics].sort().join(",");
    const common = { ...options, onLive, logger: this.#logger, clock: this.#clock };
    if (groupId === undefined) {
      const onCursor = async () => {};
      return followSource(source, { ...common, cursor: undefined, onCursor });
    }
    const log = this.#log;
    const cursor = await log.groupCursor(groupId, source.name, topics);
    const onCursor = (next: string) => log.saveGroupCursor(groupId, source.name, topics, next);
    return followSource(source, { ...common, cursor, onCursor });
  }
}

/** A callback that takes one event at a time, although several sources deliver at once. */
function oneAtATime(onEvent: (event: BusEvent) => Promise<void>): typeof onEvent {
  const turns = new SerialQueue();
  return (event) => turns.run(() => onEvent(event));
}

/** Opens the bus and creates its tables. The caller closes the bus before the database. */
export async function openDirectBus(options: DirectBusOptions): Promise<EventBus> {
  const { db, retentionEventsMax = 200_000, pollMs = 1_000, peers = [] } = options;
  const { logger = silentLogger, clock = systemClock } = options;
  const log = await OutboxLog.open({ db, retentionEventsMax, pollMs, logger, clock });
  return new DirectBus({ log, peers, logger, clock });
}

/** Serves a log of events to other processes that follow it. */
function outboxService(log: EventSource): ServedService {
  return serve(OutboxService, {
    async *watchEvents({ topics, cursor, fromBeginning }, { signal }) {
      const range = { topics, fromBeginning, cursor: cursor === "" ? undefined : cursor };
      for await (const watched of log.watch(range, signal)) {
        yield {
          logId: watched.logId,
          cursor: watched.cursor,
          events: watched.events.map(({ topic, key, payload, headers, position }) => ({
            topic,
            key,
            payload,
            headers,
            position: BigInt(position),
          })),
        };
      }
    },
  });
}
