import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { ControlEvent, FeedState } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { Gate } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import type {
  CallPrincipal,
  Clock,
  CounterMetric,
  LogFields,
  Logger,
  Metrics,
} from "@qmtl/service-kit";
import type { Peer } from "../peers/peer.ts";
import type { BarrierEnds, GateView, RunnerEnd } from "../ports.ts";
import type { BarBooker } from "./bar-booker.ts";
import { FeedBarrier, type StoredFeed, type WaitOptions } from "./feed-barrier.ts";
import type { PartWait } from "./publish-plan.ts";

/** Largest number of dropped sessions listed per feed. */
const silentMax = 100;
/** Largest number of dropped sessions remembered; beyond it all are forgotten, as at a restart. */
const unregisteredMax = 10_000;

interface ReplayFeedsPorts {
  readonly dag: Peer;
  readonly gateway: CallPrincipal;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly booker: Pick<BarBooker, "catchUp" | "isBooked" | "whyUnbooked">;
  readonly gates: Pick<GateView, "onApplied">;
  /** Sources of the configuration: true for those that are replayed. */
  readonly sources: ReadonlyMap<string, boolean>;
  readonly sessionDeadMs: number;
}

/**
 * The barriers of all replay feeds. This gateway is their owner; a barrier is set up from what the DAG Manager stores
 * when it is first asked for, after the bars that an earlier owner did not book.
 */
export class ReplayFeeds implements BarrierEnds {
  readonly #ports: ReplayFeedsPorts;
  readonly #dropped: CounterMetric;
  readonly #barriers = new Map<string, FeedBarrier>();
  readonly #opening = new Map<string, Promise<FeedBarrier>>();
  readonly #refreshing = new Map<string, Promise<void>>();
  /** Reads that have not begun, by feed. */
  readonly #queued = new Map<string, Promise<void>>();
  /** Worlds whose gate was open as last reported. */
  readonly #open = new Set<string>();
  /** Sessions dropped since this process started, per feed, newest first. */
  readonly #silent = new Map<string, string[]>();
  /** Session → feeds that no longer wait for it although it registered. */
  readonly #unregistered = new Map<string, Set<string>>();
  readonly #unfollow: () => void;
  #isClosed = false;

  constructor(ports: ReplayFeedsPorts) {
    this.#ports = ports;
    const help = "Runners a replay barrier stopped waiting for";
    this.#dropped = ports.metrics.counter("barrier_dropped_total", help, ["source"]);
    this.#unfollow = ports.gates.onApplied((worldId, state) => this.#onGate(worldId, state.gate));
  }

  /**
   * Sets up the barriers of these feeds, so that bars that an earlier process did not book are booked now, not when the
   * next row comes.
   */
  openAll(sources: readonly string[]): void {
    for (const source of sources) {
      this.barrier(source).catch((error: unknown) => {
        this.#warn("the barrier of a feed is not ready yet", { source, error });
      });
    }
  }

  /** The barrier of a feed. @throws {QmtlError} SOURCE_NOT_FOUND, PEER_UNAVAILABLE. */
  async barrier(source: string): Promise<FeedBarrier> {
    const known = this.#barriers.get(source) ?? this.#opening.get(source);
    if (known !== undefined) return known;
    const opening = this.#setUp(source).finally(() => this.#opening.delete(source));
    this.#opening.set(source, opening);
    return opening;
  }

  /** Waits at the barrier of a feed; see `FeedBarrier.wait`. */
  async wait(wait: PartWait, options: WaitOptions): Promise<void> {
    const barrier = await this.barrier(wait.source);
    await barrier.wait(wait.record, wait.row, options);
  }

  /**
   * Refuses a row that the log does not have. Only a row far ahead is looked up: the log may be one row further than
   * its barrier.
   *
   * @throws {QmtlError} SOURCE_NOT_FOUND, INVALID_FIELD.
   */
  async checkRow(source: string, row: number): Promise<void> {
    if (!this.#ports.sources.has(source)) throw noFeed(source);
    const barrier = this.#barriers.get(source);
    if (barrier === undefined || row <= barrier.state.logRow + 1) return;
    const passedRow = Number((await this.#read(source)).passedRow);
    if (row <= passedRow) return;
    throw new QmtlError("INVALID_FIELD", `row ${row} of ${source} is not in the log`, {
      fields: [{ field: "row", description: `the last row of ${source} is ${passedRow}` }],
    });
  }

  ended(source: string, end: RunnerEnd): void {
    // Only a feed that is replayed waits for anybody.
    if (this.#ports.sources.get(source) !== true) return;
    const barrier = this.#barriers.get(source);
    if (barrier !== undefined) barrier.ended(end);
    else {
      // The end came before the barrier was set up: it counts as soon as it is.
      this.barrier(source)
        .then((opened) => opened.ended(end))
        .catch((error: unknown) => this.#warn("no barrier", { source, error }));
    }
  }

  whyUnbooked(source: string): string | undefined {
    return this.#ports.booker.whyUnbooked(source);
  }

  /** Feeds that dropped a session, until it registers again. */
  unregistered(sessionId: string): string[] {
    return [...(this.#unregistered.get(sessionId) ?? [])].sort();
  }

  /** Adds what only the owner of the barrier knows: ends, dropped sessions, whether the last row is settled. */
  complete(state: FeedState): void {
    const { source } = state;
    state.droppedSessionIds = [...(this.#silent.get(source) ?? [])];
    const barrier = this.#barriers.get(source);
    if (barrier === undefined) return;
    const { runners, logRow, untilMs } = barrier.state;
    state.runners = state.runners.filter(({ sessionId }) => !barrier.dropped.has(sessionId));
    for (const runner of state.runners) {
      runner.endedRow = BigInt(runners.get(runner.sessionId)?.endedRow ?? -1);
    }
    const isCurrent = logRow >= Number(state.passedRow) && untilMs === untilMsOf(state);
    const isBooked = barrier.isSettled && this.#ports.booker.isBooked(source, logRow);
    state.settled = isCurrent && isBooked && (state.ended || barrier.isAtLimit(passedMsOf(state)));
  }

  /** A session sent a heartbeat. */
  heard(sessionId: string): void {
    for (const barrier of this.#barriers.values()) barrier.heard(sessionId);
  }

  /** Reads the runner set and the limit of a feed again. Calls that come meanwhile share one more read. */
  async refresh(source: string): Promise<void> {
    const barrier = this.#barriers.get(source);
    if (barrier === undefined) {
      const wasOpening = this.#opening.has(source);
      await this.barrier(source);
      // What an opening barrier has read may be older than this call.
      if (wasOpening) await this.refresh(source);
      return;
    }
    const queued = this.#queued.get(source);
    if (queued !== undefined) return queued;
    const before = this.#refreshing.get(source) ?? Promise.resolve();
    const next = before
      .catch(() => {})
      .then(async () => {
        this.#queued.delete(source);
        const stored = storedOf(await this.#read(source));
        barrier.sync(stored);
        this.#registered(source, stored);
      });
    this.#queued.set(source, next);
    this.#refreshing.set(source, next);
    await next;
  }

  /** The limit or the runners of a feed changed. */
  onEvent(event: ControlEvent): void {
    if (!event.topicKey.startsWith("feed/")) return;
    const source = event.topicKey.slice("feed/".length);
    const barrier = this.#barriers.get(source);
    if (barrier === undefined && !this.#opening.has(source)) return;
    const { payload } = event;
    // Most events report that rows have passed, which passed here.
    if (payload.case === "feedUpdated" && barrier?.isAsStored(storedOf(payload.value))) return;
    this.refresh(source).catch((error: unknown) => {
      this.#warn("a feed could not be read again", { source, error });
    });
  }

  /** Feeds that wait for a session, as far as their barriers are set up. */
  feedsOf(sessionId: string): string[] {
    const all = [...this.#barriers];
    return all.flatMap(([source, { state }]) => (state.runners.has(sessionId) ? [source] : []));
  }

  /** A session leaves for good: it is not asked to register again. */
  forget(sessionId: string): void {
    this.#unregistered.delete(sessionId);
  }

  /** `complete`, with the barrier set up if it was not yet. */
  async describe(feed: FeedState): Promise<FeedState> {
    await this.barrier(feed.source);
    this.complete(feed);
    return feed;
  }

  close(): void {
    this.#isClosed = true;
    this.#unfollow();
    for (const barrier of this.#barriers.values()) barrier.close();
  }

  /** Logs a failure, except while the gateway stops, when calls fail for that reason. */
  #warn(message: string, fields: LogFields): void {
    if (!this.#isClosed) this.#ports.logger.warn(message, fields);
  }

  async #setUp(source: string): Promise<FeedBarrier> {
    const { booker, clock, sessionDeadMs } = this.#ports;
    const stored = storedOf(await this.#read(source));
    await booker.catchUp(source);
    const barrier = new FeedBarrier(
      {
        source,
        clock,
        sessionDeadMs,
        onDropped: (sessionId) => this.#onDropped(source, sessionId),
      },
      stored,
    );
    this.#barriers.set(source, barrier);
    return barrier;
  }

  /** What a runner decided while the gate was shut is stated again once it is armed: the feed waits for that. */
  #onGate(worldId: string, gate: Gate): void {
    if (gate !== Gate.OPEN) this.#open.delete(worldId);
    else if (!this.#open.has(worldId)) {
      this.#open.add(worldId);
      for (const barrier of this.#barriers.values()) barrier.gateOpened(worldId);
    }
  }

  /**
   * Runners that are in the set again have registered again, except dropped ones that are still to be removed from it.
   */
  #registered(source: string, { runners }: StoredFeed): void {
    const dropped = this.#barriers.get(source)?.dropped;
    for (const { sessionId } of runners) {
      const sources = this.#unregistered.get(sessionId);
      if (sources === undefined || dropped?.has(sessionId) === true) continue;
      sources.delete(source);
      if (sources.size === 0) this.#unregistered.delete(sessionId);
    }
  }

  async #read(source: string): Promise<FeedState> {
    const call = { principal: this.#ports.gateway, timeoutMs: 5_000 };
    const scope = { scope: { case: "source" as const, value: source } };
    const answer = await this.#ports.dag.unary(QueueService.method.listFeeds, { scope }, call);
    const [feed] = answer.feeds;
    if (feed !== undefined) return feed;
    throw noFeed(source);
  }

  #onDropped(source: string, sessionId: string): void {
    const { logger, dag, gateway } = this.#ports;
    const others = (this.#silent.get(source) ?? []).filter((each) => each !== sessionId);
    this.#silent.set(source, [sessionId, ...others].slice(0, silentMax));
    if (this.#unregistered.size >= unregisteredMax) this.#unregistered.clear();
    const sources = this.#unregistered.get(sessionId) ?? new Set();
    this.#unregistered.set(sessionId, sources.add(source));
    logger.warn("a runner is silent; the feed continues without it", { source, sessionId });
    this.#dropped.inc({ source });
    const call = { principal: gateway, timeoutMs: 5_000 };
    dag
      .unary(QueueService.method.deleteReplayRunner, { sources: [source], sessionId }, call)
      .then(() => this.refresh(source))
      .catch((error: unknown) => {
        if (hasReason(error, "SOURCE_NOT_FOUND")) return;
        this.#warn("a silent runner could not be removed", { source, sessionId, error });
      });
  }
}

function noFeed(source: string): QmtlError {
  return new QmtlError("SOURCE_NOT_FOUND", `no feed ${source}`, { metadata: { source } });
}

function storedOf(feed: FeedState): StoredFeed {
  return {
    passedRow: Number(feed.passedRow),
    untilMs: untilMsOf(feed),
    runners: feed.runners.map(({ sessionId, fromRow }) => ({
      sessionId,
      fromRow: Number(fromRow),
    })),
  };
}

function untilMsOf({ untilTime }: FeedState): number | null {
  return untilTime === undefined ? null : timestampMs(untilTime);
}

function passedMsOf({ passedBucketEndTime }: FeedState): number | null {
  return passedBucketEndTime === undefined ? null : timestampMs(passedBucketEndTime);
}
