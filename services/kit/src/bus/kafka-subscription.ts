import type { Admin, Consumer, EachBatchPayload, IHeaders, Kafka, KafkaMessage } from "kafkajs";
import type { Clock } from "../clock.ts";
import type { DependencyMonitor } from "../dependency-monitor.ts";
import type { Logger } from "../logger.ts";
import { deliver } from "./deliver.ts";
import { BusError, type BusEvent, type SubscribeOptions } from "./event-bus.ts";
import { kafkaError } from "./kafka-client.ts";
import { askKafka } from "./kafka-retry.ts";

interface Context {
  kafka: Kafka;
  admin: Admin;
  prefix: string;
  /** The Kafka group. */
  groupId: string;
  /** The group is this subscriber's own and is deleted with it. */
  isPrivate: boolean;
  logger: Logger;
  clock: Clock;
  /** Informed whether the brokers answer. */
  monitor: DependencyMonitor | undefined;
}

/** A reader without an answer for this long has lost the brokers, which answer four times per second; milliseconds. */
const SILENT_MS_MAX = 8_000;
/** How often that is checked, milliseconds. */
const LOOK_EVERY_MS = 2_000;

interface PartitionPosition {
  topic: string;
  partition: number;
  offset: string;
}

const placeKey = (topic: string, partition: number): string => `${topic}/${partition}`;

/**
 * Starts a consumer and resolves when it has joined its group. Where the group has no position it begins at offsets
 * looked up before that, so nothing published after this has resolved can be missed.
 */
export async function startKafkaSubscription(
  options: SubscribeOptions,
  context: Context,
): Promise<{ done: Promise<void> }> {
  const { kafka, groupId, prefix } = context;
  const topics = options.topics.map((topic) => prefix + topic);
  const { signal, fromBeginning } = options;
  const starts = await askKafka({ ...context, signal }, (admin) =>
    startPlaces({ ...context, admin }, topics, fromBeginning),
  );
  const consumer = kafka.consumer({
    groupId,
    allowAutoTopicCreation: false,
    sessionTimeout: 15_000,
    heartbeatInterval: 2_000,
    maxWaitTimeInMs: 250,
    retry: { initialRetryTime: 100, maxRetryTime: 2_000, retries: 10 },
  });
  await consumer.connect();
  const joined = joinOnce(consumer, starts, context.logger);
  const crashed = new Promise<never>((_, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      if (!payload.restart) reject(kafkaError(payload.error, "reading events"));
    });
  });
  crashed.catch(() => {});
  try {
    await consumer.subscribe({ topics, fromBeginning });
    await consumer.run({
      eachBatchAutoResolve: false,
      autoCommitInterval: 1_000,
      partitionsConsumedConcurrently: 1,
      eachBatch: (payload) => takeBatch(payload, options, context),
    });
    await Promise.race([joined, crashed]);
  } catch (cause) {
    await stop(consumer, context);
    throw kafkaError(cause, "subscribing");
  }
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  const unwatch = watchAnswers(consumer, context);
  const done = Promise.race([aborted, crashed]).finally(async () => {
    unwatch();
    await stop(consumer, context);
  });
  return { done };
}

/**
 * Reports each answer of the brokers to the monitor, and a failure when none comes. Returns a function that ends it.
 */
function watchAnswers(consumer: Consumer, { clock, monitor }: Context): () => void {
  if (monitor === undefined) return () => {};
  let heardAtMs = clock.monotonicMs();
  const onAnswer = () => {
    heardAtMs = clock.monotonicMs();
    monitor.answered();
  };
  const unheard = [
    consumer.on(consumer.events.FETCH, onAnswer),
    consumer.on(consumer.events.HEARTBEAT, onAnswer),
  ];
  const look = () => {
    const nowMs = clock.monotonicMs();
    if (nowMs - heardAtMs > SILENT_MS_MAX) {
      const message = `no answer from Kafka for ${Math.round(nowMs - heardAtMs)} ms`;
      monitor.failed(new BusError("BUS_UNAVAILABLE", message), nowMs);
    }
    timer = clock.setTimer(look, LOOK_EVERY_MS);
  };
  let timer = clock.setTimer(look, LOOK_EVERY_MS);
  return () => {
    timer.cancel();
    for (const forget of unheard) forget();
  };
}

/** Start positions of the partitions for which the group has none. */
async function startPlaces(
  { admin, groupId, isPrivate }: Context,
  topics: string[],
  fromBeginning: boolean,
): Promise<Map<string, PartitionPosition>> {
  const places = new Map<string, PartitionPosition>();
  const committed = new Set<string>();
  if (!isPrivate) {
    for (const { topic, partitions } of await admin.fetchOffsets({ groupId, topics })) {
      for (const { partition, offset } of partitions) {
        if (offset !== "-1") committed.add(placeKey(topic, partition));
      }
    }
  }
  for (const topic of topics) {
    for (const { partition, high, low } of await admin.fetchTopicOffsets(topic)) {
      const key = placeKey(topic, partition);
      if (committed.has(key)) continue;
      places.set(key, { topic, partition, offset: fromBeginning ? low : high });
    }
  }
  return places;
}

/**
 * When a partition is assigned for the first time, seeks to its start position and stores it as the group's, so that
 * later joins, here or at another member, continue from there. Resolves at the first join.
 */
function joinOnce(
  consumer: Consumer,
  starts: Map<string, PartitionPosition>,
  logger: Logger,
): Promise<void> {
  return new Promise((resolve) => {
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      const places = Object.entries(payload.memberAssignment).flatMap(([topic, partitions]) =>
        partitions.flatMap((partition) => starts.get(placeKey(topic, partition)) ?? []),
      );
      for (const place of places) {
        // In time for the first fetch: the library emits this event while it joins.
        consumer.seek(place);
        starts.delete(placeKey(place.topic, place.partition));
      }
      if (places.length === 0) return resolve();
      consumer.commitOffsets(places).then(resolve, (error: unknown) => {
        logger.warn("start positions could not be stored", { error });
        resolve();
      });
    });
  });
}

async function takeBatch(
  payload: EachBatchPayload,
  options: SubscribeOptions,
  context: Context,
): Promise<void> {
  const { batch, resolveOffset, heartbeat, commitOffsetsIfNecessary, isRunning, isStale } = payload;
  const { logger, clock } = context;
  for (const message of batch.messages) {
    if (!isRunning() || isStale()) return;
    const event = eventOf(batch.topic.slice(context.prefix.length), batch.partition, message);
    const { onEvent, signal } = options;
    if (!(await deliver(event, { onEvent, signal, clock, logger, keepAlive: heartbeat }))) return;
    resolveOffset(message.offset);
    await heartbeat();
    await commitOffsetsIfNecessary();
  }
}

function eventOf(topic: string, partition: number, message: KafkaMessage): BusEvent {
  return {
    topic,
    key: message.key?.toString("utf8") ?? "",
    payload: new Uint8Array(message.value ?? new Uint8Array(0)),
    headers: headersOf(message.headers ?? {}),
    partition,
    position: Number(message.offset),
  };
}

function headersOf(headers: IHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => {
      const first = Array.isArray(value) ? value[0] : value;
      return first === undefined ? [] : [[name, first.toString()]];
    }),
  );
}

async function stop(
  consumer: Consumer,
  { admin, groupId, isPrivate, logger }: Context,
): Promise<void> {
  const failed = (error: unknown) => logger.warn("a subscription did not end cleanly", { error });
  await consumer.disconnect().catch(failed);
  if (isPrivate) await admin.deleteGroups([groupId]).catch(failed);
}
