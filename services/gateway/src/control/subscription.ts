import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ControlEvent,
  ControlEventSchema,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { SubscribeResponseSchema } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { EncodedMessage } from "@qmtl/service-kit";
import type { AppliedRevision } from "./topic-book.ts";

/** Largest number of events that wait for one subscriber; beyond it the subscriber is moved back to snapshots. */
export const bufferedEventsMax = 4_096;

/** What a subscription asks its hub for. */
export interface SnapshotSource {
  /**
   * Reads the state of a key, unless it is known at least up to what a subscriber has applied.
   *
   * @throws {QmtlError} PEER_UNAVAILABLE, WORLD_NOT_FOUND
   */
  prepare(topicKey: string, applied: AppliedRevision | undefined): Promise<void>;
  /** The state of a key that was prepared, as an event. */
  snapshot(topicKey: string, strategyIds: readonly string[]): ControlEvent;
  nowMs(): number;
}

interface KeyState {
  /** Revision passed on last, and the store epoch it is of. */
  last: number;
  storeEpoch: number;
  /** A snapshot must come before any further event. */
  isStale: boolean;
  /** What the subscriber says it has applied; a snapshot that is older is of no use to it. */
  readonly applied: AppliedRevision | undefined;
}

/** What a subscriber receives, and until when. */
interface SubscriptionScope {
  readonly topicKeys: readonly string[];
  /** What the subscriber has applied, per topic key. */
  readonly applied: ReadonlyMap<string, AppliedRevision>;
  /** Strategies of the ticket; none: all of the world. */
  readonly strategyIds: readonly string[];
  /** Schema version of the events. */
  readonly version: number;
  /** End of the ticket it was opened with, milliseconds since the epoch: nothing is handed out from then on. */
  readonly expireMs: number;
}

/**
 * One subscriber: per topic key a snapshot, then events without gap. Events wait in a bounded buffer; when it is full
 * all that waits is dropped and every key starts over from a snapshot, so nothing is silently skipped.
 */
export class Subscription {
  readonly #source: SnapshotSource;
  readonly #version: number;
  readonly #strategyIds: readonly string[];
  readonly #expireMs: number;
  readonly #keys: Map<string, KeyState>;
  #buffer: ControlEvent[] = [];
  #isMarkDue = false;
  #wake: (() => void) | undefined;
  #overflows = 0;
  /** Events withheld since the last message. */
  #withheld = 0;

  constructor(source: SnapshotSource, scope: SubscriptionScope) {
    this.#source = source;
    this.#version = scope.version;
    this.#strategyIds = scope.strategyIds;
    this.#expireMs = scope.expireMs;
    this.#keys = new Map(
      scope.topicKeys.map((key) => {
        return [key, { last: 0, storeEpoch: 0, isStale: true, applied: scope.applied.get(key) }];
      }),
    );
  }

  get topicKeys(): readonly string[] {
    return [...this.#keys.keys()];
  }

  get waiting(): number {
    return this.#buffer.length;
  }

  /** Times the buffer ran over. */
  get overflows(): number {
    return this.#overflows;
  }

  /** Continues after a revision that the subscriber has applied, instead of a snapshot. */
  resume(topicKey: string, applied: AppliedRevision, events: readonly ControlEvent[]): void {
    const key = this.#keys.get(topicKey);
    if (key === undefined) return;
    key.isStale = false;
    key.last = applied.revision;
    key.storeEpoch = applied.storeEpoch;
    for (const event of events) this.offer(event);
  }

  /**
   * Takes an event of one of the keys; repeated and older ones are dropped; a gap, or a store that was restored,
   * makes the key stale.
   */
  offer(event: ControlEvent): void {
    const key = this.#keys.get(event.topicKey);
    if (key === undefined || key.isStale) return;
    const revision = Number(event.revision);
    const storeEpoch = Number(event.storeEpoch);
    if (storeEpoch < key.storeEpoch) return;
    const isRestored = storeEpoch > key.storeEpoch;
    if (!isRestored && revision <= key.last) return;
    if (isRestored || revision > key.last + 1) {
      this.restart(event.topicKey);
      return;
    }
    if (this.#buffer.length >= bufferedEventsMax) {
      this.#overflow();
      return;
    }
    key.last = revision;
    if (isRestrictive(event)) this.#overtake(event);
    else this.#buffer.push(event);
    this.#wake?.();
  }

  /** The key's history began again or has a hole: a snapshot comes next. */
  restart(topicKey: string): void {
    const key = this.#keys.get(topicKey);
    if (key === undefined) return;
    key.isStale = true;
    this.#buffer = this.#buffer.filter((event) => event.topicKey !== topicKey);
    this.#wake?.();
  }

  /** The state of a key is known up to a revision by other means: the key starts over if it is behind that. */
  catchUp(topicKey: string, revision: number): void {
    const key = this.#keys.get(topicKey);
    if (key !== undefined && !key.isStale && key.last < revision) this.restart(topicKey);
  }

  /** It is time to show that the stream is alive. */
  mark(): void {
    this.#isMarkDue = true;
    this.#wake?.();
  }

  /**
   * The stream, until the signal aborts. It is cut at the first event or mark after the end of its ticket, which comes
   * within one interval of marks; that event is not handed out.
   *
   * @throws {QmtlError} TICKET_EXPIRED
   */
  async *run(signal: AbortSignal): AsyncGenerator<EncodedMessage> {
    const wake = () => this.#wake?.();
    signal.addEventListener("abort", wake);
    try {
      while (!signal.aborted) {
        this.#checkTicket();
        const stale = this.#firstStale();
        const event = stale === undefined ? this.#buffer.shift() : undefined;
        if (stale !== undefined) yield* this.#snapshot(stale);
        else if (event !== undefined) yield* this.#encode(event);
        else if (this.#isMarkDue) yield* this.#encode(this.#progress());
        else await this.#sleep(signal);
      }
    } finally {
      signal.removeEventListener("abort", wake);
    }
  }

  async *#snapshot(topicKey: string): AsyncGenerator<EncodedMessage> {
    const key = this.#keys.get(topicKey)!;
    await this.#source.prepare(topicKey, key.applied);
    this.#checkTicket();
    const event = this.#source.snapshot(topicKey, this.#strategyIds);
    key.isStale = false;
    key.last = Number(event.revision);
    key.storeEpoch = Number(event.storeEpoch);
    yield* this.#encode(event);
  }

  /** Withholds what cannot be written in the subscriber's version; the next message says how many events those were. */
  *#encode(event: ControlEvent): Generator<EncodedMessage> {
    if (!canEncode(event, this.#version)) {
      this.#withheld += 1;
      return;
    }
    const withheld = this.#withheld;
    this.#withheld = 0;
    yield encodeEvent(event, this.#version, withheld);
  }

  #checkTicket(): void {
    if (this.#source.nowMs() < this.#expireMs) return;
    const message = "the ticket of this stream has expired; connect again with a new one";
    throw new QmtlError("TICKET_EXPIRED", message);
  }

  /** Goes to the front, behind earlier events of its own key, which come along. */
  #overtake(event: ControlEvent): void {
    const isOwn = (other: ControlEvent) => other.topicKey === event.topicKey;
    const own = this.#buffer.filter(isOwn);
    this.#buffer = [...own, event, ...this.#buffer.filter((other) => !isOwn(other))];
  }

  #overflow(): void {
    this.#overflows += 1;
    this.#buffer = [];
    for (const key of this.#keys.values()) key.isStale = true;
    this.#wake?.();
  }

  #firstStale(): string | undefined {
    for (const [topicKey, key] of this.#keys) if (key.isStale) return topicKey;
    return undefined;
  }

  #progress(): ControlEvent {
    this.#isMarkDue = false;
    const revisions = Object.fromEntries(
      [...this.#keys].map(([key, { last }]) => [key, BigInt(last)]),
    );
    return create(ControlEventSchema, {
      schemaVersion: { version: 1 },
      source: "qmtl/gateway",
      type: "progress_mark",
      time: timestampFromMs(this.#source.nowMs()),
      payload: { case: "progressMark", value: { revisions } },
    });
  }

  #sleep(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#wake = undefined;
        resolve();
      };
      this.#wake = done;
      if (signal.aborted || this.#buffer.length > 0 || this.#isMarkDue) done();
    });
  }
}

const cache = new WeakMap<ControlEvent, Map<number, EncodedMessage>>();

/** Versions of the control stream that this gateway speaks. */
const supported = { min: 1, max: 1 };

/** Whether an event can be written in a schema version: one that was written in a later one cannot. */
function canEncode({ schemaVersion }: ControlEvent, version: number): boolean {
  return (schemaVersion?.version ?? 1) <= version;
}

/**
 * An event as one message of the control stream in a schema version: encoded once, then handed to every subscriber,
 * except for a message that says how many were withheld before it.
 */
function encodeEvent(event: ControlEvent, version: number, withheld = 0): EncodedMessage {
  if (withheld > 0) return encode(event, version, withheld);
  let versions = cache.get(event);
  if (versions === undefined) {
    versions = new Map();
    cache.set(event, versions);
  }
  let encoded = versions.get(version);
  if (encoded === undefined) {
    encoded = encode(event, version, 0);
    versions.set(version, encoded);
  }
  return encoded;
}

function encode(event: ControlEvent, version: number, withheld: number): EncodedMessage {
  const schemaVersion = { version, supported };
  const message = create(SubscribeResponseSchema, { schemaVersion, event, withheld });
  return new EncodedMessage(toBinary(SubscribeResponseSchema, message));
}

/** True for an event that only takes permissions away, or may: it overtakes those of other keys in buffers. */
function isRestrictive({ payload }: ControlEvent): boolean {
  if (payload.case === "gateEvent") return payload.value.restrictive;
  return payload.case === "haltsUpdated";
}
