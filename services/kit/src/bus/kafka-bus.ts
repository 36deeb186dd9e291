import { randomUUID } from "node:crypto";
import {
  type Admin,
  CompressionTypes,
  type Kafka,
  Partitioners,
  type Producer,
  type TopicMessages,
} from "kafkajs";
import { type Clock, systemClock } from "../clock.ts";
import type { DependencyMonitor } from "../dependency-monitor.ts";
import { type Logger, silentLogger } from "../logger.ts";
import { BusWork } from "./bus-work.ts";
import {
  checkBatch,
  type EventBus,
  type OutgoingEvent,
  type SubscribeOptions,
  type Subscription,
  type TopicSpec,
} from "./event-bus.ts";
import { type KafkaAddress, kafkaClient, kafkaError } from "./kafka-client.ts";
import { askKafka } from "./kafka-retry.ts";
import { startKafkaSubscription } from "./kafka-subscription.ts";
import { ensureKafkaTopics } from "./kafka-topics.ts";

export interface KafkaBusOptions extends KafkaAddress {
  /** Put before every topic and group name, so that installations can share a cluster. @default "" */
  topicPrefix?: string;
  /** Informed whether the brokers answer. @default none */
  monitor?: DependencyMonitor;
  logger?: Logger;
  clock?: Clock;
}

type Compiled = Required<Omit<KafkaBusOptions, "monitor">> & Pick<KafkaBusOptions, "monitor">;

/** The bus of the distributed shape. A write is acknowledged by all in-sync replicas. */
class KafkaBus implements EventBus {
  readonly kind = "kafka";
  readonly services = [];
  readonly #kafka: Kafka;
  readonly #admin: Admin;
  readonly #producer: Producer;
  readonly #options: Compiled;
  readonly #work = new BusWork();
  #closed: Promise<void> | undefined;

  constructor(options: Compiled) {
    this.#options = options;
    this.#kafka = kafkaClient(options, options.logger);
    this.#admin = this.#kafka.admin();
    // One request in flight keeps the order of a partition over retries. Idempotence is not relied on.
    this.#producer = this.#kafka.producer({
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
      idempotent: false,
      maxInFlightRequests: 1,
    });
  }

  async connect(): Promise<void> {
    try {
      await this.#admin.connect();
      await this.#producer.connect();
    } catch (cause) {
      await this.close();
      throw kafkaError(cause, "connecting to Kafka");
    }
  }

  async ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    try {
      await this.#work.track(
        // Repeating it is safe: a topic created by the first attempt exists at the second.
        askKafka(
          {
            ...this.#options,
            kafka: this.#kafka,
            admin: this.#admin,
            signal: this.#work.closing,
          },
          (admin) => ensureKafkaTopics(admin, this.#options.topicPrefix, topics),
        ),
      );
    } catch (cause) {
      if (cause instanceof RangeError) throw cause;
      throw kafkaError(cause, "making topics");
    }
  }

  publish(topic: string, key: string, payload: Uint8Array, headers = {}): Promise<void> {
    return this.publishBatch([{ topic, key, payload, headers }]);
  }

  async publishBatch(events: readonly OutgoingEvent[]): Promise<void> {
    checkBatch(events);
    this.#work.checkOpen();
    if (events.length === 0) return;
    const byTopic = new Map<string, TopicMessages>();
    for (const { topic: name, key, payload, headers } of events) {
      const topic = this.#options.topicPrefix + name;
      const own = byTopic.get(topic) ?? { topic, messages: [] };
      const value = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
      own.messages.push({ key, value, headers: { ...headers } });
      byTopic.set(topic, own);
    }
    const sent = this.#producer.sendBatch({
      acks: -1,
      compression: CompressionTypes.None,
      topicMessages: [...byTopic.values()],
    });
    const { monitor, clock } = this.#options;
    const beganAtMs = clock.monotonicMs();
    await this.#work.track(sent).catch((cause: unknown) => {
      const error = kafkaError(cause, "publishing events");
      if (error.reason === "BUS_UNAVAILABLE") monitor?.failed(error, beganAtMs);
      throw error;
    });
    monitor?.answered();
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    this.#work.checkOpen();
    const { topicPrefix: prefix, logger, clock, monitor } = this.#options;
    const isPrivate = options.groupId === undefined;
    const groupId = prefix + (options.groupId ?? `${this.#options.clientId}-${randomUUID()}`);
    const signal = AbortSignal.any([options.signal, this.#work.closing]);
    const context = {
      kafka: this.#kafka,
      admin: this.#admin,
      prefix,
      groupId,
      isPrivate,
      logger,
      clock,
      monitor,
    };
    const starting = startKafkaSubscription({ ...options, signal }, context);
    const { done } = await this.#work.track(starting).catch((cause: unknown) => {
      throw kafkaError(cause, "subscribing");
    });
    const tracked = this.#work.track(done);
    tracked.catch(() => {}); // whoever is interested awaits it
    return { done: tracked };
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      await this.#work.close();
      await Promise.allSettled([this.#producer.disconnect(), this.#admin.disconnect()]);
    })();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Connects to Kafka. @throws {BusError} BUS_UNAVAILABLE when no broker answers. */
export async function openKafkaBus(options: KafkaBusOptions): Promise<EventBus> {
  const bus = new KafkaBus({
    topicPrefix: "",
    logger: silentLogger,
    clock: systemClock,
    ...options,
  });
  await bus.connect();
  return bus;
}
