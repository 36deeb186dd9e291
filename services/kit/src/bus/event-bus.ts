import type { ServedService } from "../handlers.ts";

/** A control event as it is put on the bus. Small; market data never go here. */
export interface OutgoingEvent {
  topic: string;
  /** Events of one (topic, key) are delivered in the order they were published. */
  key: string;
  payload: Uint8Array;
  /** Short strings beside the payload, such as `type` and `revision`. */
  headers?: Readonly<Record<string, string>>;
}

/** A control event as it is delivered: at least once. */
export interface BusEvent {
  topic: string;
  key: string;
  payload: Uint8Array;
  headers: Readonly<Record<string, string>>;
  /** Part of the topic that all events of this key go to; 0 on the embedded bus, the log's number on the direct one. */
  partition: number;
  /** Increases within (topic, partition), with gaps. The same event always has the same position. */
  position: number;
}

/** A topic and how it is kept. Created by `ensureTopics`, never by publishing. */
export interface TopicSpec {
  /** Lower-case letters, digits, dot, dash, underscore; at most 200 characters. */
  topic: string;
  /** Kafka only; never changed afterwards, since keys would move. @default 8 */
  partitions?: number;
  /** Kafka only. @default 1 */
  replicationFactor?: number;
  /** Kafka only: broker settings the topic must have; one that differs is refused, not changed. */
  settings?: Readonly<Record<string, string>>;
}

export interface SubscribeOptions {
  topics: readonly string[];
  /**
   * Subscribers of one group share the events and continue where the group stopped. Without it the subscriber gets
   * every event and leaves no position behind.
   */
  groupId?: string;
  /** Where to begin when the group has no position: the first event kept, or after the newest. */
  fromBeginning: boolean;
  /**
   * Called one event at a time. If it rejects, the same event is delivered again after a pause (100 ms, doubling to
   * 5 s), and those behind it wait.
   */
  onEvent: (event: BusEvent) => Promise<void>;
  /** Ends the subscription after the event under way. */
  signal: AbortSignal;
}

/** An event that waits in an outbox. */
export interface WaitingEvent {
  readonly id: number;
  readonly topic: string;
  readonly key: string;
  /** Name of the payload's message; header `type` on the bus. */
  readonly type: string;
  readonly payload: Uint8Array;
  readonly revision: number;
}

/** Which events of an outbox to move. */
export interface OutboxRange {
  /** Schema of the outbox. */
  readonly schema: string;
  /** Most events moved at once. */
  readonly countMax: number;
  /**
   * Nothing is moved unless this process relays the outbox for at least `leftMs` more. @default no other process can
   */
  readonly lease: { readonly ownerId: string; readonly leftMs: number } | undefined;
  /** Nothing is moved while an event of these types is among the oldest: its relay wants to join it with others. */
  readonly keptTypes: readonly string[];
}

/** What a move found. */
export interface OutboxMove {
  /** The oldest events that were waiting, oldest first. */
  readonly events: readonly WaitingEvent[];
  /** They are published and marked as sent. False: nothing was changed. */
  readonly isMoved: boolean;
  /** This process relays the outbox, by the lease; not stated when nothing was waiting. */
  readonly isRelay: boolean;
}

/** A running subscription. */
export interface Subscription {
  /** Resolves once it has ended: the signal aborted or the bus closed. Rejects if the bus gave up. */
  readonly done: Promise<void>;
}

/**
 * Carries control events from the services that own the state to every gateway: small, at least once, in order per key.
 * A receiver recognises duplicates by the revision in the payload or the headers.
 */
export interface EventBus extends AsyncDisposable {
  readonly kind: "embedded" | "kafka" | "direct";
  /** Services that the process of this bus must serve at its own port for others to follow it. */
  readonly services: readonly ServedService[];
  /** Creates missing topics. @throws {BusError} TOPIC_SETTINGS_DIFFER when one exists with other settings. */
  ensureTopics(topics: readonly TopicSpec[]): Promise<void>;
  /** As `publishBatch` with one event. */
  publish(
    topic: string,
    key: string,
    payload: Uint8Array,
    headers?: Readonly<Record<string, string>>,
  ): Promise<void>;
  /**
   * Resolves when all are stored. If it rejects, any of them may have been; publishing again is safe.
   * At most 1,000 events of at most 512 KiB each.
   *
   * @throws {BusError}
   */
  publishBatch(events: readonly OutgoingEvent[]): Promise<void>;
  /**
   * Publishes the oldest waiting events of an outbox and marks them as sent, in one statement: all or none. Only of a
   * bus that keeps its events in the services' own database; others are given the events with `publishBatch`.
   *
   * @throws {BusError}
   */
  moveOutbox?(range: OutboxRange): Promise<OutboxMove>;
  /** Resolves once live: what is published after that is delivered. */
  subscribe(options: SubscribeOptions): Promise<Subscription>;
  /** Ends subscriptions and waits for what is being published. May be called twice. */
  close(): Promise<void>;
}

type BusErrorReason =
  | "UNKNOWN_TOPIC"
  | "TOPIC_SETTINGS_DIFFER"
  | "EVENT_TOO_LARGE"
  | "BUS_UNAVAILABLE";

export class BusError extends Error {
  readonly reason: BusErrorReason;

  constructor(reason: BusErrorReason, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "BusError";
    this.reason = reason;
  }
}

/** Largest number of bytes of one event's payload; more is refused with `EVENT_TOO_LARGE`. */
export const payloadBytesMax = 512 * 1024;
/** Largest number of events of one `publishBatch`. */
const publishBatchMax = 1_000;

/** @throws {BusError} EVENT_TOO_LARGE @throws {RangeError} on too many events */
export function checkBatch(events: readonly OutgoingEvent[]): void {
  if (events.length > publishBatchMax) {
    throw new RangeError(`${events.length} events in a batch, at most ${publishBatchMax}`);
  }
  for (const { topic, key, payload } of events) {
    if (payload.length > payloadBytesMax) {
      const message = `${topic} ${key}: ${payload.length} bytes, at most ${payloadBytesMax}`;
      throw new BusError("EVENT_TOO_LARGE", message);
    }
  }
}

/** @throws {RangeError} on a name that Kafka would not take. */
export function checkTopicName(topic: string): void {
  if (!/^[a-z0-9._-]{1,200}$/.test(topic) || topic === "." || topic === "..") {
    throw new RangeError(`bad topic name: ${topic}`);
  }
}
