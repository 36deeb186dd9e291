import { clone, fromBinary } from "@bufbuild/protobuf";
import {
  type ControlEvent,
  ControlEventSchema,
  type FeedState,
  FeedStateSchema,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import type { GateEvent, GateState } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock, ClockTimer, EncodedMessage, Logger, Metrics } from "@qmtl/service-kit";
import type { BusEvent, Subscription as BusSubscription, EventBus } from "@qmtl/service-kit/bus";
import {
  controlTopic,
  type EncodedEvent,
  encodedEventsOf,
  eventMessages,
  isWithoutState,
  topicOfKey,
} from "@qmtl/service-kit/control";
import { isTransient } from "../peers/breaker.ts";
import type { EventLog } from "./event-log.ts";
import type { GateBook } from "./gate-book.ts";
import { type SnapshotSource, Subscription } from "./subscription.ts";
import { type AppliedRevision, placeOf, type TopicBook } from "./topic-book.ts";
import { gateSnapshot, snapshotEvent } from "./topic-snapshot.ts";
import { TopicWindow } from "./topic-window.ts";

/** Interval of the marks that distinguish a silent stream from a broken one, milliseconds. */
const markMs = 2_000;
/** Largest number of topic keys kept; the one touched longest ago is forgotten. */
const topicKeysMax = 10_000;
/** Pause before WorldService is asked again for a gate with a hole, milliseconds. */
const reloadMs = 500;
const subscribersMax = 10_000;
/** Largest number of reads of a topic key's state while events overtake the answers. */
const loadTriesMax = 5;

type GateHashField = "storeEpoch" | "revision" | "stateHash";

interface HubPorts {
  readonly bus: EventBus;
  readonly gates: GateBook;
  readonly topics: TopicBook;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Keeps what is read, for ListEvents. */
  readonly events: EventLog;
}

/**
 * Takes control events off the bus, applies those of gates, and hands all to subscribers. It keeps the newest events
 * of each topic key, so that a subscriber that comes back gets exactly what it missed.
 */
export class ControlHub implements SnapshotSource {
  readonly #ports: HubPorts;
  readonly #windows = new Map<string, TopicWindow>();
  readonly #subscriptions = new Set<Subscription>();
  readonly #listeners = new Set<(event: ControlEvent) => void>();
  readonly #stopping = new AbortController();
  #bus: BusSubscription | undefined;
  #marks: ClockTimer | undefined;
  #completeFeed: (state: FeedState) => void = () => {};

  constructor(ports: HubPorts) {
    this.#ports = ports;
  }

  get events(): EventLog {
    return this.#ports.events;
  }

  /** Begins to read the bus, from the first event kept. */
  async start(): Promise<void> {
    const { bus } = this.#ports;
    this.#bus = await bus.subscribe({
      topics: [controlTopic],
      fromBeginning: true,
      signal: this.#stopping.signal,
      onEvent: async (event) => {
        this.take(event);
        // Backpressure: nothing more is read until there is room to keep it.
        if (this.#ports.events.isFull) await this.#ports.events.flush();
      },
    });
    this.#bus.done.catch((error: unknown) => {
      this.#ports.logger.error("the control bus gave up; streams end", { error });
      this.#stopping.abort();
    });
    this.#ports.gates.onHeard((worldId, state, change) => {
      if (change !== "snapshot") return;
      const revision = Number(state.revision);
      for (const each of this.#subscriptions) each.catchUp(`world/${worldId}/gate`, revision);
    });
    this.#beat();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#marks?.cancel();
    await this.#bus?.done.catch(() => {});
    await this.#ports.events.close();
  }

  /** Calls back for each event, once per revision. Returns the unsubscribe function. */
  onEvent(listener: (event: ControlEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Opens a stream: per key what was missed since the revision applied, else a snapshot; then new events. */
  subscribe(options: {
    readonly topicKeys: readonly string[];
    readonly applied: ReadonlyMap<string, AppliedRevision>;
    /** Strategies of the ticket; none: all of the world. */
    readonly strategyIds: readonly string[];
    readonly version: number;
    /** End of the ticket, milliseconds since the epoch. */
    readonly expireMs: number;
    readonly signal: AbortSignal;
  }): AsyncGenerator<EncodedMessage> {
    if (this.#subscriptions.size >= subscribersMax) {
      const message = `${subscribersMax} subscribers`;
      throw new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 5_000 });
    }
    const subscription = new Subscription(this, options);
    for (const [key, applied] of options.applied) this.#resume(subscription, key, applied);
    this.#subscriptions.add(subscription);
    return this.#stream(subscription, options.signal);
  }

  /**
   * Store epoch, revision and state hash of a gate now.
   *
   * @throws {QmtlError} INVALID_FIELD for a key of another topic, WORLD_NOT_FOUND, PEER_UNAVAILABLE
   */
  async stateHash(topicKey: string): Promise<Pick<GateState, GateHashField>> {
    const worldId = worldOfGate(topicKey);
    if (worldId !== undefined) return this.#ports.gates.ensure(worldId);
    const description = "must be a topic key of GATE, such as world/w1/gate";
    throw new QmtlError("INVALID_FIELD", `topic_key ${description}`, {
      fields: [{ field: "topic_key", description }],
    });
  }

  async prepare(topicKey: string, applied: AppliedRevision | undefined): Promise<void> {
    const { gates, topics } = this.#ports;
    const worldId = worldOfGate(topicKey);
    if (worldId !== undefined) {
      await gates.ensure(worldId);
      return;
    }
    // The content of an event without a state is in no other event: a state that was read before it is not enough.
    const lacksState = () => !topics.covers(topicKey, this.#window(topicKey).withoutState);
    if (topics.covers(topicKey, applied) && !lacksState()) return;
    for (let tries = 0; tries < loadTriesMax; tries += 1) {
      await topics.load(topicKey);
      const at = topics.snapshot(topicKey, []);
      if (at === undefined || lacksState()) continue;
      const missed = this.#window(topicKey).after(at.storeEpoch, at.revision) ?? [];
      for (const event of missed) topics.apply(event);
      // Older than what the subscriber says it has: there is no newer one, so its claim is wrong.
      if (topics.snapshot(topicKey, []) !== undefined) return;
    }
    throw new QmtlError("PEER_UNAVAILABLE", `the state of ${topicKey} could not be read`);
  }

  snapshot(topicKey: string, strategyIds: readonly string[]): ControlEvent {
    const nowMs = this.nowMs();
    const worldId = worldOfGate(topicKey);
    if (worldId !== undefined) {
      const state = this.#ports.gates.state(worldId);
      if (state === undefined) throw new QmtlError("PEER_UNAVAILABLE", `no gate of ${worldId}`);
      return gateSnapshot(state, topicKey, nowMs);
    }
    const known = this.#ports.topics.snapshot(topicKey, strategyIds);
    if (known === undefined) throw new QmtlError("PEER_UNAVAILABLE", `no state of ${topicKey}`);
    const { state } = known.snapshot;
    if (state.case === "feed") {
      // A copy: the state that is kept is passed on to others.
      state.value = clone(FeedStateSchema, state.value);
      this.#completeFeed(state.value);
    }
    const revision = BigInt(known.revision);
    const storeEpoch = BigInt(known.storeEpoch);
    return snapshotEvent({ topicKey, storeEpoch, revision }, known.snapshot, nowMs);
  }

  /** Revision of the newest event of a key that came here; 0 for none. */
  revisionOf(topicKey: string): number {
    return this.#windows.get(topicKey)?.last ?? 0;
  }

  nowMs(): number {
    return this.#ports.clock.nowMs();
  }

  /** Sets how the state of a feed is completed, before it is passed on, with what its store does not know. */
  completeFeeds(complete: (state: FeedState) => void): void {
    this.#completeFeed = complete;
  }

  /** Takes a message of the bus. What cannot be read is logged and left out: it must not stop those behind it. */
  take(message: Omit<BusEvent, "topic">): void {
    const { key, headers, payload } = message;
    const all = this.#read(key, () => encodedEventsOf(headers["type"], payload)) ?? [];
    const added: EncodedEvent[] = [];
    for (const bytes of all) {
      const event = this.#read(key, () => fromBinary(ControlEventSchema, bytes));
      if (event === undefined || !this.#take(event)) continue;
      added.push({ type: event.type, revision: Number(event.revision), bytes });
    }
    if (added.length === 0) return;
    // A relay that repeats what it had sent joins it with newer events; each event is kept once.
    const [kept] =
      added.length === all.length ? [{ type: headers["type"], payload }] : eventMessages(added);
    if (kept === undefined) return;
    const place = { ...message, payload: kept.payload };
    this.#ports.events.add({ ...place, headers: { type: kept.type ?? "" } }, added.length);
  }

  #read<T>(key: string, decode: () => T): T | undefined {
    try {
      return decode();
    } catch (error) {
      this.#ports.logger.error("a control event cannot be decoded", { key, error });
      return undefined;
    }
  }

  /** False for an event that was here before. */
  #take(event: ControlEvent): boolean {
    const { payload, topicKey } = event;
    if (payload.case === "feedUpdated") this.#completeFeed(payload.value);
    const outcome = this.#window(topicKey).add(event);
    if (outcome === "repeated") return false;
    const worldId = worldOfGate(topicKey);
    if (worldId !== undefined && isWithoutState(event)) this.#reload(worldId, placeOf(event));
    else this.#hand(event, outcome);
    for (const listener of this.#listeners) listener(event);
    return true;
  }

  #hand(event: ControlEvent, outcome: "added" | "gap"): void {
    const { payload, topicKey } = event;
    if (payload.case === "gateEvent") this.#applyGate(payload.value);
    else this.#ports.topics.apply(event);
    for (const subscription of this.#subscriptions) {
      if (outcome === "gap") subscription.restart(topicKey);
      else subscription.offer(event);
    }
  }

  async *#stream(subscription: Subscription, signal: AbortSignal): AsyncGenerator<EncodedMessage> {
    const both = AbortSignal.any([signal, this.#stopping.signal]);
    try {
      yield* subscription.run(both);
      if (!signal.aborted) throw new QmtlError("DRAINING", "the gateway stops; connect again");
    } finally {
      this.#subscriptions.delete(subscription);
    }
  }

  /** Continues after what the subscriber has applied, if what follows is kept; else it begins with a snapshot. */
  #resume(subscription: Subscription, topicKey: string, applied: AppliedRevision): void {
    const { storeEpoch, revision } = applied;
    const window = this.#window(topicKey);
    const events = window.after(storeEpoch, revision);
    const worldId = worldOfGate(topicKey);
    if (worldId === undefined) {
      if (events !== undefined) subscription.resume(topicKey, applied, events);
      return;
    }
    const state = this.#ports.gates.state(worldId);
    if (state === undefined || Number(state.storeEpoch) !== storeEpoch) return;
    const isCurrent = Number(state.revision) === revision;
    // A gate that was read may be ahead of the events that came here: those in between are in no window, so it is sent
    // whole.
    const reachesGate = Number(state.revision) <= window.last;
    if (isCurrent || (events !== undefined && reachesGate)) {
      subscription.resume(topicKey, applied, events ?? []);
    }
  }

  #applyGate(gateEvent: GateEvent): void {
    const { state, change } = gateEvent;
    if (state === undefined) return;
    const outcome = this.#ports.gates.take(state, change);
    if (outcome === "gap" || outcome === "unknown") this.#reload(state.worldId);
  }

  /**
   * Reads a gate until there is an answer that is not older than an event without a state: a gate with a hole stays as
   * it is, and leases run out meanwhile. Subscribers that are behind the answer start over with it.
   */
  #reload(worldId: string, withoutState?: AppliedRevision): void {
    const { gates, clock, logger } = this.#ports;
    const again = () => {
      if (!this.#stopping.signal.aborted) this.#reload(worldId, withoutState);
    };
    gates.reload(worldId).then(
      (state) => {
        if (withoutState !== undefined && isBehind(state, withoutState))
          clock.setTimer(again, reloadMs);
      },
      (error: unknown) => {
        if (this.#stopping.signal.aborted || !isTransient(error)) return;
        logger.warn("the gate of a world could not be loaded; trying again", { worldId, error });
        clock.setTimer(again, reloadMs);
      },
    );
  }

  #window(topicKey: string): TopicWindow {
    const known = this.#windows.get(topicKey);
    const window = known ?? new TopicWindow(topicKey);
    if (known !== undefined) this.#windows.delete(topicKey);
    this.#windows.set(topicKey, window);
    if (this.#windows.size > topicKeysMax) {
      const [oldest] = this.#windows.keys();
      if (oldest !== undefined) this.#windows.delete(oldest);
    }
    return window;
  }

  #beat(): void {
    this.#marks = this.#ports.clock.setTimer(() => {
      for (const subscription of this.#subscriptions) subscription.mark();
      const gauge = this.#ports.metrics.gauge("control_subscribers", "Open control streams");
      gauge.set(this.#subscriptions.size);
      this.#beat();
    }, markMs);
  }
}

/** Whether a gate is older than an event. */
function isBehind(state: GateState, { storeEpoch, revision }: AppliedRevision): boolean {
  const epoch = Number(state.storeEpoch);
  return epoch < storeEpoch || (epoch === storeEpoch && Number(state.revision) < revision);
}

/** World of a key of GATE; undefined for other keys. */
function worldOfGate(topicKey: string): string | undefined {
  const subject = topicOfKey(topicKey);
  return subject?.topic === "gate" ? subject.id : undefined;
}
