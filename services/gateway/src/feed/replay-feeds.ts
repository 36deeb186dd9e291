import type { ControlEvent, FeedState } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { Gate } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import {
  type OfferedRow,
  type TakenRunners,
  type TimelineState,
  takeTimeline,
} from "@qmtl/core/queues";
import { hasReason } from "@qmtl/sdk/rpc";
import type { CounterMetric, LogFields } from "@qmtl/service-kit";
import type { BarrierEnds, SliceCall, SourceValue } from "../ports.ts";
import { BehindTargets } from "./behind-targets.ts";
import { ComputeOnlyWorlds } from "./compute-only.ts";
import { closedMsOf, describeFeed, feedsWaitedFor, standsText } from "./describe-feed.ts";
import { dropsOf } from "./dropped-runners.ts";
import { LeasedSessions } from "./leased-sessions.ts";
import { LostRows } from "./lost-rows.ts";
import type { HeldRows, WaitOptions } from "./offer-queue.ts";
import type { ReplayFeedsPorts } from "./replay-feeds-ports.ts";
import { RunnerRegistry } from "./runner-registry.ts";
import {
  checkInLog,
  isSameFeed,
  noFeed,
  readFeeds,
  type StoredFeed,
  sessionsOf,
  storedFeedOf,
  timelineFeedOf,
  timelinesOf,
} from "./stored-feeds.ts";
import { reconnectMsMax, type TimelineListener, Timelines } from "./timelines.ts";
import { type WatermarkReader, WatermarkRegistry } from "./watermark-registry.ts";

/**
 * The replay feeds and their timelines. This gateway is their owner; they are set up from what the DAG Manager stores
 * when one is first asked for, after the slices that an earlier owner did not book.
 */
export class ReplayFeeds implements BarrierEnds, TimelineListener {
  readonly #watermarks = new WatermarkRegistry();
  readonly #ports: ReplayFeedsPorts;
  readonly #timelines: Timelines;
  readonly #dropped: CounterMetric;
  readonly #places = new RunnerRegistry();
  readonly #computeOnly: ComputeOnlyWorlds;
  /** As read last, by feed. */
  #stored: ReadonlyMap<string, StoredFeed> = new Map();
  #opening: Promise<void> | undefined;
  #isOpen = false;
  #refreshing: Promise<void> = Promise.resolve();
  /** A read that has not begun. */
  #queued: Promise<void> | undefined;
  /** Worlds whose gate was open as last reported. */
  readonly #open = new Set<string>();
  readonly #leased: LeasedSessions;
  readonly #behind: BehindTargets;
  readonly #unfollow: () => void;
  readonly #lost: LostRows;
  #isClosed = false;

  constructor(ports: ReplayFeedsPorts) {
    this.#ports = ports;
    const help = "Runners a replay barrier stopped waiting for";
    this.#dropped = ports.metrics.counter("barrier_dropped_total", help, ["source"]);
    this.#leased = new LeasedSessions(ports.clock, (id) => ports.gates.state(id)?.fence ?? 0n);
    const isComputeOnly = (sources: readonly string[]) => this.#isComputeOnly(sources);
    this.#behind = new BehindTargets(ports.clock, (sessionId) => this.#goOnWithout(sessionId));
    const mustRestate = ({ sessionId, worldId, isRefusedForNow }: SliceCall) =>
      this.#behind.mustWait(sessionId, isRefusedForNow && this.#open.has(worldId));
    this.#timelines = new Timelines({ ...ports, listener: this, isComputeOnly, mustRestate });
    const changed = () => this.#timelines.recheck();
    this.#computeOnly = new ComputeOnlyWorlds({ ...ports, changed });
    const logRowOf = (source: string) => this.#logRowOf(source);
    const look = () => this.#refreshOrWarn();
    this.#lost = new LostRows({ clock: ports.clock, logRowOf, look });
    this.#unfollow = ports.gates.onHeard((worldId, state) => this.#onGate(worldId, state.gate));
  }

  /** Sets up the timelines, so that slices that an earlier process did not book are booked now. */
  openAll(): void {
    this.ready().catch((error: unknown) => {
      this.#warn("the timelines of the replay feeds are not ready yet", { error });
    });
  }

  /** Resolves once the timelines are set up. @throws {QmtlError} PEER_UNAVAILABLE. */
  ready(): Promise<void> {
    if (this.#isOpen) return Promise.resolve();
    this.#opening ??= this.#setUp().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /** Offers rows at the barrier of a feed; see `OfferQueue.offer`. */
  async offer(
    source: string,
    record: string,
    rows: readonly OfferedRow[],
    options: WaitOptions,
  ): Promise<HeldRows> {
    await this.#timeline(source);
    // Its holder has seen the row before it in the log.
    if ((rows[0]?.row ?? -1) > this.#logRowOf(source) + 1) this.lookAgain(source);
    return this.#timelines.offer(source, record, rows, options);
  }

  /** Rows of a feed may be in the log that nobody was told of; see `LostRows`. */
  lookAgain(source: string): void {
    this.#lost.lookFor(source);
  }

  /** Last row of a feed in the log, as far as its timeline knows; +∞ while that is not set up. */
  #logRowOf(source: string): number {
    return this.#timelines.stateOf(source)?.feeds.get(source)?.logRow ?? Number.POSITIVE_INFINITY;
  }

  /** A row is in the log; see `Timelines.effective`. */
  async effective(
    source: string,
    row: OfferedRow,
    values: readonly SourceValue[],
    how: { readonly waitMs: number; readonly isEmpty: boolean },
  ): Promise<void> {
    await this.#timeline(source);
    await this.#timelines.effective(source, row, values, how);
  }

  /** Passes on rows of a feed that were appended again after they were shown. */
  showAgain(source: string): void {
    const state = this.#timelines.stateOf(source);
    if (state !== undefined) this.#ports.live.showAgain(source, state.slice.timeMs);
  }

  /** The END of a feed is in the log. */
  async feedEnded(source: string): Promise<void> {
    await this.#timeline(source);
    this.#timelines.takeOf(source, { kind: "feed_ended", source });
  }

  /**
   * Refuses a row that the log does not have. Only a row far ahead is looked up: the log may be one row further than
   * its timeline.
   *
   * @throws {QmtlError} SOURCE_NOT_FOUND, INVALID_FIELD.
   */
  async checkRow(source: string, row: number): Promise<void> {
    if (!this.#ports.sources.has(source)) throw noFeed(source);
    const feed = this.#timelines.stateOf(source)?.feeds.get(source);
    if (feed === undefined) return;
    // Before the first row, the place of the log is where the feed begins.
    if (row <= feed.logRow + 1 && feed.endMs > Number.NEGATIVE_INFINITY) return;
    await this.refresh();
    checkInLog(this.#stored.get(source), source, row);
  }

  isReplayed(source: string): boolean {
    return this.#ports.sources.get(source) === true;
  }

  closedMs(source: string): number {
    return closedMsOf(this.#timelines.stateOf(source));
  }

  async end(call: SliceCall, waitMs: number): Promise<void> {
    await this.ready();
    await this.#timelines.end(call, waitMs, this.#leased.isArmed(call));
  }

  whyUnbooked(source: string): string | undefined {
    return this.#ports.booker.whyUnbooked(source);
  }

  /** See `WaitingFeeds`. */
  waitsOf(worldId: string): readonly string[] {
    const own = [...this.#stored.values()].filter(({ worldIds }) => worldIds.includes(worldId));
    const states = new Set(own.flatMap(({ source }) => this.#timelines.stateOf(source) ?? []));
    return [...states].flatMap((state) => feedsWaitedFor(state)).sort();
  }

  /** See `WaitingFeeds`. */
  standsAt(worldId: string): string | undefined {
    const { clock } = this.#ports;
    for (const { source, worldIds } of this.#stored.values()) {
      const state = worldIds.includes(worldId) ? this.#timelines.stateOf(source) : undefined;
      const stands = state && standsText(state, this.#timelines.phaseTimeMs(source), clock.nowMs());
      if (stands !== undefined) return stands;
    }
    return undefined;
  }

  /** Feeds that gave up the place of a session, until it registers again. */
  unregistered(sessionId: string): string[] {
    return this.#places.lostBy(sessionId);
  }

  /** Adds what only the owner of the timeline knows: ends, dropped sessions, and what it waits for. */
  complete(state: FeedState): void {
    const { source } = state;
    state.droppedSessionIds = this.#places.droppedBy(source);
    const timeline = this.#timelines.stateOf(source);
    if (timeline === undefined) return;
    describeFeed(state, timeline, this.#timelines.phaseTimeMs(source) ?? 0);
    const { booker } = this.#ports;
    state.settled &&= [...timeline.feeds.keys()].every((each) => booker.isReported(each));
  }

  /** A session sent a heartbeat. */
  heard(sessionId: string): void {
    this.#timelines.heard(sessionId);
  }

  /** A session that has applied the gate as it is was refused a lease: what it ended without one counts. */
  leaseRefused(sessionId: string): void {
    this.#leased.forget(sessionId);
    for (const state of this.#timelines.states()) {
      if (state.runners.get(sessionId)?.mustRestate === true)
        this.#timelines.take(state, { kind: "not_armed", sessionIds: [sessionId] });
    }
  }

  /** A session was given a lease, or was given it again. */
  leaseGranted(sessionId: string): void {
    if (!this.#leased.granted(sessionId)) return;
    this.#timelines.leased(sessionId, (call) => this.#leased.isArmed(call));
  }

  /** The gates of a session and of the order path have not agreed for long: nobody waits for its targets. */
  #goOnWithout(sessionId: string): void {
    this.#warn("targets of a runner are refused for long; feeds go on without", { sessionId });
    for (const state of this.#timelines.states())
      this.#timelines.take(state, { kind: "not_armed", sessionIds: [sessionId] });
  }

  /** Reads runner sets, limits and readers of all feeds again. Calls that come meanwhile share one more read. */
  async refresh(): Promise<void> {
    if (!this.#isOpen) {
      const wasOpening = this.#opening !== undefined;
      await this.ready();
      // What an opening timeline has read may be older than this call.
      if (wasOpening) await this.refresh();
      return;
    }
    if (this.#queued !== undefined) return this.#queued;
    const next = this.#refreshing
      .catch(() => {})
      .then(async () => {
        this.#queued = undefined;
        await this.#sync();
      });
    this.#queued = next;
    this.#refreshing = next;
    await next;
  }

  /** The limit or the runners of a feed changed. */
  onEvent(event: ControlEvent): void {
    if (!event.topicKey.startsWith("feed/")) return;
    const { payload } = event;
    // Most events report that rows have passed, which passed here.
    if (payload.case === "feedUpdated") {
      const feed = storedFeedOf(payload.value);
      if (isSameFeed(this.#stored.get(feed.source), feed)) return;
    }
    this.refreshSoon();
  }

  /** Reads everything again; a failure is logged, and the next change leads to the next attempt. */
  refreshSoon(): void {
    if (!this.#isOpen && this.#opening === undefined) return;
    void this.#refreshOrWarn();
  }

  #refreshOrWarn(): Promise<void> {
    return this.refresh().catch((error: unknown) => {
      this.#warn("the replay feeds could not be read again", { error });
    });
  }

  /** Follows the feeds that move with these. */
  follow(sources: ReadonlySet<string>, changed: () => void): WatermarkReader {
    return this.#watermarks.follow(sources, this.#timelines.states(), changed);
  }

  /** The feeds that move with a feed, itself included. */
  timelineOf(source: string): string[] {
    return [...(this.#timelines.stateOf(source)?.feeds.keys() ?? [source])].sort();
  }

  /** A session leaves for good: it is not asked to register again. */
  forget(sessionId: string): void {
    this.#leased.forget(sessionId);
    this.#behind.forget(sessionId);
    this.#forgetDrop(sessionId);
    this.#places.forget(sessionId);
  }

  /** `complete`, with the timelines set up if they were not yet. */
  async describe(feed: FeedState): Promise<FeedState> {
    await this.ready();
    this.complete(feed);
    return feed;
  }

  close(): void {
    this.#isClosed = true;
    this.#lost.close();
    this.#unfollow();
    this.#behind.close();
    this.#ports.dropped.close();
    this.#timelines.close();
  }

  runnerDropped(sessionId: string, sources: readonly string[]): void {
    this.#places.dropped(sessionId, sources);
    this.#ports.dropped.add(sessionId, sources);
    this.#ports.runners.dropped(sessionId);
    for (const source of sources) this.#dropped.inc({ source });
    const { logger } = this.#ports;
    logger.warn("a runner is silent; the feeds continue without it", { sources, sessionId });
  }

  runnerTakenBack(sessionId: string): void {
    const { logger, runners } = this.#ports;
    this.#forgetDrop(sessionId);
    runners.takenBack(sessionId);
    logger.info("a dropped runner has caught up and is waited for again", { sessionId });
  }

  runnerForgotten(sessionId: string, sources: readonly string[]): void {
    const { dag, gateway } = this.#ports;
    this.#forgetDrop(sessionId);
    this.#places.lost(sessionId, sources);
    const call = { principal: gateway, timeoutMs: 5_000 };
    dag
      .unary(QueueService.method.deleteReplayRunner, { sources: [...sources], sessionId }, call)
      .then(() => this.refresh())
      .catch((error: unknown) => {
        if (hasReason(error, "SOURCE_NOT_FOUND")) return;
        this.#warn("a silent runner could not be removed", { sources, sessionId, error });
      });
  }

  sliceBooked(state: TimelineState): void {
    this.#watermarks.booked(state);
    this.#ports.live.show(state);
  }

  /** Logs a failure, except while the gateway stops, when calls fail for that reason. */
  #warn(message: string, fields: LogFields): void {
    if (!this.#isClosed) this.#ports.logger.warn(message, fields);
  }

  /** @throws {QmtlError} SOURCE_NOT_FOUND, PEER_UNAVAILABLE. */
  async #timeline(source: string): Promise<void> {
    await this.ready();
    if (this.#timelines.stateOf(source) === undefined) await this.refresh();
    if (this.#timelines.stateOf(source) === undefined) throw noFeed(source);
  }

  async #setUp(): Promise<void> {
    const feeds = await this.#read();
    const groups = await this.#groups(feeds);
    const dropped = await this.#ports.dropped.load();
    const placed = new Set(feeds.flatMap(({ runners }) => runners.map((one) => one.sessionId)));
    for (const { sessionId } of dropped) if (!placed.has(sessionId)) this.#forgetDrop(sessionId);
    for (const group of groups) {
      const own = feeds.filter(({ source }) => group.has(source));
      const drops = dropsOf(own, dropped, this.#ports.clock);
      for (const [sessionId, { sources }] of drops) this.#places.dropped(sessionId, sources);
      const droppedMs = new Map([...drops].map(([id, { heardMs }]) => [id, heardMs]));
      await this.#openTimeline(own, { reconnectMs: reconnectMsMax, droppedMs });
    }
    this.#isOpen = true;
  }

  #forgetDrop(sessionId: string): void {
    this.#places.takenBack(sessionId);
    this.#ports.dropped.remove(sessionId);
  }

  /**
   * Books what an earlier owner did not, and takes the timeline over. What is not booked is the last slice, or the last
   * batch: of several feeds it may lack rows, and is booked once it is complete.
   */
  async #openTimeline(feeds: readonly StoredFeed[], taken: TakenRunners = {}): Promise<void> {
    const { booker, clock, sessionDeadMs, live } = this.#ports;
    const missed: SourceValue[] = [];
    for (const { source } of feeds) missed.push(...(await booker.missed(source)));
    const lastMs = Math.max(...feeds.map(({ passedMs }) => passedMs));
    const stored = feeds.map((feed) =>
      timelineFeedOf(feed, booker.isBooked(feed.source, feed.passedRow)),
    );
    const isBooked = stored.some((one) => one.isBooked && one.endMs === lastMs);
    const isWhole = isBooked || feeds.length === 1;
    if (isWhole) await booker.book(missed);
    const state = takeTimeline(stored, sessionDeadMs, clock.monotonicMs(), taken);
    live.show(state);
    this.#timelines.open(state, isWhole ? [] : missed);
    // Whether their gate opened a moment ago, with their ends void, is not known.
    const sessionIds = feeds
      .flatMap(({ runners }) => runners)
      .filter(({ worldId }) => this.#open.has(worldId))
      .map(({ sessionId }) => sessionId);
    const [first] = feeds;
    if (first !== undefined && sessionIds.length > 0)
      this.#timelines.takeOf(first.source, { kind: "gate_opened", sessionIds });
  }

  /** Takes over what the DAG Manager stores now. */
  async #sync(): Promise<void> {
    const feeds = await this.#read();
    this.#timelines.recheck();
    for (const feed of feeds) {
      const { source, untilMs } = feed;
      const state = this.#timelines.stateOf(source);
      const known = state?.feeds.get(source);
      if (state === undefined || known === undefined) {
        await this.#openTimeline([feed]);
        continue;
      }
      // Before the first row, the log's place is where the feed begins, which its first START states.
      if (known.logRow < 0 && feed.passedRow > known.logRow)
        this.#timelines.takeOf(source, { kind: "begun", source, logRow: feed.passedRow });
      this.#syncRunners(feed, state);
      this.#timelines.takeOf(source, { kind: "advance", source, untilMs });
      await this.#takeLogged(feed);
    }
    this.#places.registered(feeds);
    this.#timelines.arrange(await this.#groups(feeds));
  }

  /** Takes over rows that are in the log, and of which the timeline was not told. */
  async #takeLogged({ source, passedRow, passedMs }: StoredFeed): Promise<void> {
    const { booker, live } = this.#ports;
    const logRow = this.#logRowOf(source);
    if (logRow < 0 || passedRow <= logRow) return;
    const { last, values } = booker.mustBook(source)
      ? await booker.logged(source, logRow)
      : { last: { row: logRow + 1, toRow: passedRow, timeMs: passedMs }, values: [] };
    if (last === undefined || last.toRow <= this.#logRowOf(source)) return;
    this.#timelines.found(source, last, values);
    // Nobody passes them on.
    live.unsure(booker.queuesOf(source));
  }

  #syncRunners({ source, runners }: StoredFeed, state: TimelineState): void {
    const listed = new Set(runners.map(({ sessionId }) => sessionId));
    for (const { sessionId, fromRow } of runners) {
      const own = state.runners.get(sessionId)?.feeds.get(source);
      if (own?.fromRow !== fromRow) this.#timelines.joined(source, sessionId, fromRow);
    }
    for (const [sessionId, { feeds }] of state.runners) {
      if (feeds.has(source) && !listed.has(sessionId))
        this.#timelines.takeOf(source, { kind: "left", sessionId, source });
    }
  }

  #groups(feeds: readonly StoredFeed[]): Promise<Set<string>[]> {
    return timelinesOf(feeds, (worldId) => this.#ports.booker.usesOf(worldId));
  }

  async #read(): Promise<StoredFeed[]> {
    const feeds = await readFeeds(this.#ports.dag, this.#ports.gateway);
    this.#stored = new Map(feeds.map((feed) => [feed.source, feed]));
    return feeds;
  }

  /**
   * Whether nothing that moves with these feeds may order: every world that reads them, and every other one of its
   * account, may only compute, and the account has nothing to fill or to close.
   */
  #isComputeOnly(sources: readonly string[]): boolean {
    const reading = sources.flatMap((source) => this.#stored.get(source)?.worldIds ?? []);
    if (reading.length === 0) return false;
    const shared = this.#ports.booker.sharing(reading);
    // This is asked at every slice: where something may order, the books are not looked at.
    return shared.worldIds.every((id) => this.#computeOnly.has(id)) && shared.isIdle();
  }

  /** What a runner decided while the gate was shut is stated again once it is armed: the next slice waits for that. */
  #onGate(worldId: string, gate: Gate): void {
    this.#timelines.recheck();
    const isOpen = gate === Gate.OPEN;
    if (isOpen === this.#open.has(worldId)) return;
    if (isOpen) this.#open.add(worldId);
    else this.#open.delete(worldId);
    const sessionIds = sessionsOf(this.#stored.values(), worldId);
    for (const sessionId of sessionIds) {
      this.#leased.forget(sessionId);
      this.#behind.forget(sessionId);
    }
    if (sessionIds.length === 0) return;
    const kind = isOpen ? "gate_opened" : "not_armed";
    for (const state of this.#timelines.states()) this.#timelines.take(state, { kind, sessionIds });
    if (isOpen) this.#ports.runners.restate(sessionIds);
  }
}
