import { fromBinary } from "@bufbuild/protobuf";
import {
  type ControlEvent,
  ControlEventSchema,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import type { GateEvent } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock, ClockTimer, EncodedMessage, Logger, Metrics } from "@qmtl/service-kit";
import type { BusEvent, Subscription as BusSubscription, EventBus } from "@qmtl/service-kit/bus";
import { controlTopic } from "../bus/control-events.ts";
import { isTransient } from "../peers/breaker.ts";
import type { EventLog } from "./event-log.ts";
import type { GateBook } from "./gate-book.ts";
import { type SnapshotSource, Subscription } from "./subscription.ts";
import { worldKey } from "./topic-keys.ts";
import { gateSnapshot, type TopicSnapshot, windowHash, windowSnapshot } from "./topic-snapshot.ts";
import { TopicWindow } from "./topic-window.ts";

/** A silent stream is told from a broken one by a mark this often, milliseconds. */
const markMs = 2_000;
/** Topic keys kept at most; the one touched longest ago is forgotten. */
const topicKeysMax = 10_000;
/** Pause before WorldService is asked again for a gate with a hole, milliseconds. */
const reloadMs = 500;
const subscribersMax = 10_000;

export interface HubPorts {
  readonly bus: EventBus;
  readonly gates: GateBook;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Keeps what is read, for ListEvents. */
  readonly events: EventLog;
}

/** What a subscriber has applied of a topic key. */
export interface AppliedRevision {
  readonly revision: number;
  readonly storeEpoch: number;
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
        // Backpressure: what cannot be kept is not read on.
        if (this.#ports.events.isFull) await this.#ports.events.flush();
      },
    });
    this.#bus.done.catch((error: unknown) => {
      this.#ports.logger.error("the control bus gave up; streams end", { error });
      this.#stopping.abort();
    });
    this.#ports.gates.onApplied((worldId, state, change) => {
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

  /** Opens a stream: per key what was missed since the revision applied, else a snapshot; then what happens. */
  subscribe(options: {
    readonly topicKeys: readonly string[];
    readonly applied: ReadonlyMap<string, AppliedRevision>;
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

  /** Revision and state hash of a topic key now. */
  async stateHash(topicKey: string): Promise<{ revision: number; stateHash: string }> {
    const world = worldKey(topicKey);
    if (world?.topic === "gate") {
      const state = await this.#ports.gates.ensure(world.worldId);
      return { revision: Number(state.revision), stateHash: state.stateHash };
    }
    const window = this.#windows.get(topicKey);
    const revision = window?.last ?? 0;
    return { revision, stateHash: windowHash(topicKey, revision, window?.newest?.id ?? "") };
  }

  async prepare(topicKey: string): Promise<void> {
    const world = worldKey(topicKey);
    if (world?.topic === "gate") await this.#ports.gates.ensure(world.worldId);
  }

  snapshot(topicKey: string): TopicSnapshot {
    const nowMs = this.nowMs();
    const world = worldKey(topicKey);
    if (world?.topic !== "gate") return windowSnapshot(this.#window(topicKey), nowMs);
    const state = this.#ports.gates.state(world.worldId);
    if (state === undefined) throw new QmtlError("PEER_UNAVAILABLE", `no gate of ${world.worldId}`);
    return gateSnapshot(state, topicKey, nowMs);
  }

  nowMs(): number {
    return this.#ports.clock.nowMs();
  }

  /** One event of the bus. What cannot be read is logged and left out: it must not stop those behind it. */
  take(busEvent: Omit<BusEvent, "headers" | "topic">): void {
    let event: ControlEvent;
    try {
      event = fromBinary(ControlEventSchema, busEvent.payload);
    } catch (error) {
      this.#ports.logger.error("a control event cannot be decoded", { key: busEvent.key, error });
      return;
    }
    const { payload, topicKey } = event;
    const window = this.#window(topicKey);
    if (payload.case === "gateEvent" && this.#isOldEpoch(window, payload.value)) return;
    const outcome = window.add(event);
    if (outcome === "repeated") return;
    this.#ports.events.add(topicKey, busEvent);
    if (payload.case === "gateEvent") this.#applyGate(payload.value);
    for (const subscription of this.#subscriptions) {
      if (outcome === "gap") subscription.restart(topicKey);
      else subscription.offer(event);
    }
    for (const listener of this.#listeners) listener(event);
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

  #resume(subscription: Subscription, topicKey: string, applied: AppliedRevision): void {
    const events = this.#window(topicKey).after(applied.revision);
    const world = worldKey(topicKey);
    if (world?.topic !== "gate") {
      // A revision that has not come here yet was applied by way of another gateway: it goes on from there.
      subscription.resume(topicKey, applied.revision, events ?? []);
      const isTrimmed = events === undefined && applied.revision < this.#window(topicKey).last;
      if (isTrimmed) subscription.restart(topicKey);
      return;
    }
    const state = this.#ports.gates.state(world.worldId);
    if (state === undefined || Number(state.storeEpoch) !== applied.storeEpoch) return;
    const isCurrent = Number(state.revision) === applied.revision;
    // A gate asked for may be ahead of the events that came here: those between are in no window, so it is told whole.
    const reachesGate = Number(state.revision) <= this.#window(topicKey).last;
    if (isCurrent || (events !== undefined && reachesGate)) {
      subscription.resume(topicKey, applied.revision, events ?? []);
    }
  }

  #applyGate(gateEvent: GateEvent): void {
    const { state, change } = gateEvent;
    if (state === undefined) return;
    const outcome = this.#ports.gates.apply(state, change);
    if (outcome === "gap" || outcome === "unknown") this.#reload(state.worldId);
  }

  /** Asks until there is an answer: a gate with a hole stays where it is, and leases run out meanwhile. */
  #reload(worldId: string): void {
    const { gates, clock, logger } = this.#ports;
    gates.reload(worldId).catch((error: unknown) => {
      if (this.#stopping.signal.aborted || !isTransient(error)) return;
      logger.warn("the gate of a world could not be loaded; trying again", { worldId, error });
      clock.setTimer(() => this.#reload(worldId), reloadMs);
    });
  }

  /** A store restored from a backup begins its history anew: what was kept of the old one goes. */
  #isOldEpoch(window: TopicWindow, gateEvent: GateEvent): boolean {
    const newest = window.newest?.payload;
    const epoch = gateEvent.state?.storeEpoch ?? 0n;
    const known = newest?.case === "gateEvent" ? (newest.value.state?.storeEpoch ?? 0n) : epoch;
    if (epoch <= known) return epoch < known;
    window.clear();
    for (const subscription of this.#subscriptions) subscription.restart(window.key);
    return false;
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
