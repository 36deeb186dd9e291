import {
  goesOn,
  isLastRow,
  isQuiet,
  joinTimelines,
  type OfferedRow,
  type TimelineEffect,
  type TimelineInput,
  type TimelineState,
  timelineStep,
} from "@qmtl/core/queues";
import { type Clock, type Logger, sleep } from "@qmtl/service-kit";
import type { EndedRow, SliceCall, SourceValue } from "../ports.ts";
import { HeldCalls } from "./held-calls.ts";
import {
  barrierWaitMsMax,
  type HeldRows,
  type OfferListener,
  OfferQueue,
  type WaitOptions,
} from "./offer-queue.ts";
import { OwnedTimeline } from "./owned-timeline.ts";
import type { SliceBooker } from "./slice-booker.ts";
import { rowHeld, whyCallHeld, whyRowHeld } from "./why-held.ts";

/** Largest number of ends kept of sessions that are in no runner set yet. */
const earlyEndsMax = 1_024;
/** Pause before a slice that could not be booked is booked again, milliseconds. */
const bookAgainMs = 1_000;

/**
 * Longest time until a runner that lost its connection is heard of again, milliseconds: the connection and the stream
 * over it are tried again after 5 and 4 s at most, and the control stream after 8 s.
 */
export const reconnectMsMax = 10_000;

/** Notified of what happens in the timelines. Implemented by `ReplayFeeds`. */
export interface TimelineListener {
  /** A runner was silent for too long and is not waited for until it is back. */
  runnerDropped(sessionId: string, sources: readonly string[]): void;
  /** A dropped runner has caught up, and is waited for again. */
  runnerTakenBack(sessionId: string): void;
  /** A dropped runner was not heard of for so long that its places in the runner sets are given up. */
  runnerForgotten(sessionId: string, sources: readonly string[]): void;
  /** A slice is booked. */
  sliceBooked(state: TimelineState): void;
}

interface TimelinesPorts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly booker: Pick<SliceBooker, "book" | "passed" | "take" | "mustBook">;
  readonly listener: TimelineListener;
  /** Whether nothing that moves with these feeds may order now. */
  readonly isComputeOnly: (sources: readonly string[]) => boolean;
  /** Whether the next slice waits until the sender of a call that was taken has stated its targets again. */
  readonly mustRestate: (call: SliceCall) => boolean;
}

/**
 * The timelines that this gateway owns: lets the rows of a slice pass together, books them together once all are
 * effective, and has their targets taken together once every runner has ended it. The rule is `timelineStep`.
 */
export class Timelines implements OfferListener {
  readonly #ports: TimelinesPorts;
  readonly #offers: OfferQueue;
  readonly #calls: HeldCalls;
  readonly #all = new Set<OwnedTimeline>();
  readonly #of = new Map<string, OwnedTimeline>();
  readonly #earlyEnds = new Map<string, SliceCall>();
  /** Sets of feeds that are to be a timeline of their own once nothing is under way in those that have them now. */
  #wanted: readonly ReadonlySet<string>[] = [];
  readonly #closed = new AbortController();

  constructor(ports: TimelinesPorts) {
    this.#ports = ports;
    this.#offers = new OfferQueue(ports.clock, this);
    this.#calls = new HeldCalls(ports.clock);
  }

  /** The timeline of a feed; undefined while it is not set up. */
  stateOf(source: string): TimelineState | undefined {
    return this.#of.get(source)?.state;
  }

  /** Since when the last slice of a feed's timeline is in its phase, epoch milliseconds; undefined as for `stateOf`. */
  phaseTimeMs(source: string): number | undefined {
    return this.#of.get(source)?.phaseTimeMs;
  }

  states(): TimelineState[] {
    return [...this.#all].map(({ state }) => state);
  }

  /** Takes a timeline over, with what the rows of its last slice bring, if it is not booked. */
  open(state: TimelineState, values: readonly SourceValue[]): void {
    this.#own(this.#owned(state, values));
  }

  /** Divides the feeds into these timelines, each as soon as nothing is under way in those that have its feeds now. */
  arrange(groups: readonly ReadonlySet<string>[]): void {
    this.#wanted = groups.filter((group) => {
      const [first] = group;
      const state = first === undefined ? undefined : this.stateOf(first);
      return state === undefined || !isSame(group, new Set(state.feeds.keys()));
    });
    for (const one of this.#all) {
      const isPaused = this.#wanted.some((group) => one.hasAny(group));
      if (isPaused !== one.state.isPaused) this.take(one.state, { kind: "paused", isPaused });
    }
    this.#join();
  }

  /** Asks again which timelines may only compute. */
  recheck(): void {
    for (const owned of [...this.#all]) this.#check(owned);
  }

  /** One input of the timeline that has this state now. */
  take(state: TimelineState, input: TimelineInput): void {
    const [source] = state.feeds.keys();
    const owned = source === undefined ? undefined : this.#of.get(source);
    if (owned !== undefined) this.#take(owned, input);
  }

  /** One input of the timeline of a feed. */
  takeOf(source: string, input: TimelineInput): void {
    const owned = this.#of.get(source);
    if (owned !== undefined) this.#take(owned, input);
  }

  /** Offers rows that are to be appended; see `OfferQueue.offer`. */
  offer(
    source: string,
    record: string,
    rows: readonly OfferedRow[],
    options: WaitOptions,
  ): HeldRows {
    return this.#offers.offer(source, record, rows, options);
  }

  /**
   * Rows are in the log, as one up to `row.toRow`, with what of them is booked from this queue. Resolves once their
   * slices are booked.
   *
   * @throws {QmtlError} BARRIER_HELD when that takes too long.
   */
  async effective(
    source: string,
    row: OfferedRow,
    values: readonly SourceValue[],
    { waitMs = barrierWaitMsMax, isEmpty }: { readonly waitMs?: number; readonly isEmpty: boolean },
  ): Promise<void> {
    const owned = this.#of.get(source);
    const feed = owned?.state.feeds.get(source);
    if (owned === undefined || feed === undefined) return;
    // The row is booked from another queue of the feed, and the row counts with them.
    if (values.length === 0 && !isEmpty && this.#ports.booker.mustBook(source)) return;
    if (row.toRow > feed.logRow) {
      owned.values.push(...values);
      this.#take(owned, { kind: "effective", source, row });
    } else if (row.toRow < feed.logRow) return;
    if (!(await owned.untilBooked(this.#ports.clock, waitMs)))
      throw rowHeld(this.whyHeld(source, row));
  }

  /**
   * Rows are in the log, as one up to `row.toRow`, although nobody was told that they were appended; `values`: what they
   * bring.
   */
  found(source: string, row: OfferedRow, values: readonly SourceValue[]): void {
    const owned = this.#of.get(source);
    const logRow = owned?.state.feeds.get(source)?.logRow;
    if (owned === undefined || logRow === undefined || row.toRow <= logRow) return;
    owned.values.push(...values.filter((value) => value.row > logRow));
    this.#take(owned, { kind: "effective", source, row });
  }

  /** A runner's call; see `BarrierEnds.end`. `isArmed`: its sender has a lease under the gate as it is. */
  async end(call: SliceCall, waitMs: number, isArmed: boolean): Promise<void> {
    const { sessionId, ends } = call;
    const isLast = ({ source, row }: EndedRow) => {
      const state = this.stateOf(source);
      return state === undefined || isLastRow(state, source, row);
    };
    // A runner that was dropped is taken back with the next slice: the orders of one that it missed are never made.
    const isMissed = ends.some(({ source }) => {
      const standing = this.stateOf(source)?.runners.get(sessionId)?.standing;
      return standing !== undefined && standing !== "in";
    });
    const isCurrent = !isMissed && ends.every(isLast) && !this.#isOver(call);
    const known = ends.some(({ source }) => this.stateOf(source)?.runners.has(sessionId) === true);
    if (!known) this.#keepEarly(call);
    if (!isCurrent) {
      if (!this.#calls.answerAgain(call)) call.refuse("BUCKET_STALE");
      this.#ended(call, isArmed);
      return;
    }
    if (this.#owesMore(call)) {
      // Its sender ends the feeds of a slice one by one, and waits for each answer before it goes on.
      this.#ended(call, isArmed);
      await this.#ports.booker.take([call], false);
      return;
    }
    const taken = this.#calls.hold(call, waitMs, () =>
      whyCallHeld((source) => this.stateOf(source), ends),
    );
    this.#ended(call, isArmed);
    await taken;
  }

  /** A session was given a lease: of its calls that are held, these count as stated under it. */
  leased(sessionId: string, isArmed: (call: SliceCall) => boolean): void {
    for (const call of this.#calls.of(sessionId)) if (isArmed(call)) this.#ended(call, true);
  }

  /** A session is alive. */
  heard(sessionId: string): void {
    const nowMs = this.#nowMs();
    for (const owned of this.#all)
      if (owned.state.runners.has(sessionId))
        this.#take(owned, { kind: "heard", sessionId, nowMs });
  }

  /** A session entered the runner set of a feed. */
  joined(source: string, sessionId: string, fromRow: number): void {
    const nowMs = this.#nowMs();
    this.takeOf(source, { kind: "joined", sessionId, source, fromRow, nowMs });
    const early = this.#earlyEnds.get(sessionId);
    const row = early?.ends.find((end) => end.source === source)?.row;
    if (early === undefined || row === undefined || row < fromRow) return;
    const { isArmed } = early;
    this.takeOf(source, { kind: "ended", sessionId, source, row, isArmed, nowMs });
  }

  /** Refuses everything that waits, because the gateway stops. */
  close(): void {
    this.#closed.abort();
    for (const owned of this.#all) owned.close();
    this.#offers.close();
    this.#calls.close();
  }

  offersChanged(source: string): void {
    const owned = this.#of.get(source);
    const feed = owned?.state.feeds.get(source);
    if (owned === undefined || feed === undefined) return;
    this.#offers.pass(source, feed.logRow);
    const offers = this.#offers.next(source, feed.logRow);
    if (offers.length > 0) this.#take(owned, { kind: "offered", source, offers });
    else if (feed.offers.length > 0) this.#take(owned, { kind: "withdrawn", source });
  }

  whyHeld(source: string, row: OfferedRow): string {
    return whyRowHeld(this.stateOf(source), source, row);
  }

  /**
   * Whether the slice that a call ends rows of is over, although its rows are the last in the log: rows of the next one
   * are on their way there. Its sender will have to end those, and waits for this answer first.
   */
  #isOver({ sessionId, ends }: SliceCall): boolean {
    const state = this.stateOf(ends[0]?.source ?? "");
    if (state?.slice.phase !== "append") return false;
    // Of rows that are in the log already, and were found there first, the slice is yet to be booked.
    const logRowOf = (source: string) => state.feeds.get(source)?.logRow ?? Number.NaN;
    if (ends.some(({ source, row }) => row > logRowOf(source))) return false;
    for (const source of state.runners.get(sessionId)?.feeds.keys() ?? []) {
      const feed = state.feeds.get(source);
      if (feed?.isPassing === true || feed?.endMs === state.slice.timeMs) return true;
    }
    return false;
  }

  /** Whether a runner has to end further rows of the slice that it ends a row of. */
  #owesMore({ sessionId, ends }: SliceCall): boolean {
    const state = this.stateOf(ends[0]?.source ?? "");
    if (state === undefined) return false;
    for (const [source, own] of state.runners.get(sessionId)?.feeds ?? []) {
      const feed = state.feeds.get(source);
      if (feed?.endMs !== state.slice.timeMs || feed.logRow < own.fromRow) continue;
      const isEnded = own.endedRow !== null && own.endedRow >= feed.logRow;
      if (!isEnded && !ends.some((end) => end.source === source)) return true;
    }
    return false;
  }

  #ended({ sessionId, ends }: SliceCall, isArmed: boolean): void {
    const nowMs = this.#nowMs();
    for (const { source, row } of ends)
      this.takeOf(source, { kind: "ended", sessionId, source, row, isArmed, nowMs });
  }

  #keepEarly(call: SliceCall): void {
    if (this.#earlyEnds.size >= earlyEndsMax) this.#earlyEnds.clear();
    this.#earlyEnds.set(call.sessionId, call);
  }

  #owned(state: TimelineState, values: readonly SourceValue[]): OwnedTimeline {
    return new OwnedTimeline(state, values, this.#ports.clock.nowMs());
  }

  #own(owned: OwnedTimeline): void {
    this.#all.add(owned);
    for (const source of owned.state.feeds.keys()) this.#of.set(source, owned);
    this.#take(owned, { kind: "paused", isPaused: false });
    this.#check(owned);
    for (const source of owned.state.feeds.keys()) this.offersChanged(source);
  }

  #check(owned: OwnedTimeline): void {
    const isComputeOnly = this.#ports.isComputeOnly([...owned.state.feeds.keys()]);
    if (isComputeOnly !== owned.state.isComputeOnly)
      this.#take(owned, { kind: "compute_only", isComputeOnly });
  }

  /** Joins and divides timelines as wanted, as far as nothing is under way in them. */
  #join(): void {
    for (const group of [...this.#wanted]) {
      const parts = [...this.#all].filter((one) => one.hasAny(group));
      if (parts.length === 0 || !parts.every(({ state }) => isQuiet(state))) continue;
      this.#wanted = this.#wanted.filter((one) => one !== group);
      const states = parts.map(({ state }) => state);
      const { sessionDeadMs } = states[0]!;
      const rest = new Set(states.flatMap(({ feeds }) => [...feeds.keys()]));
      for (const source of group) rest.delete(source);
      for (const part of parts) {
        part.close();
        this.#all.delete(part);
      }
      // Feeds that leave belong to other groups, which are joined next.
      if (rest.size > 0) this.#own(this.#owned(joinTimelines(states, rest, sessionDeadMs), []));
      this.#own(this.#owned(joinTimelines(states, group, sessionDeadMs), []));
    }
  }

  #take(owned: OwnedTimeline, input: TimelineInput): void {
    if (this.#closed.signal.aborted || !this.#all.has(owned)) return;
    const { state, effects } = timelineStep(owned.state, input);
    owned.become(state, this.#ports.clock.nowMs());
    for (const effect of effects) this.#do(owned, effect);
    if (input.kind === "effective") this.offersChanged(input.source);
    if (this.#wanted.length > 0 && isQuiet(owned.state)) this.#join();
    owned.watch(this.#ports.clock, (ownPauseMs) => this.#tick(owned, ownPauseMs));
  }

  #do(owned: OwnedTimeline, effect: TimelineEffect): void {
    const { listener } = this.#ports;
    const sources = [...owned.state.feeds.keys()];
    switch (effect.kind) {
      case "pass":
        this.#offers.pass(effect.source, effect.row.toRow);
        break;
      case "book":
        this.#inBackground(this.#book(owned));
        break;
      case "take":
        this.#inBackground(this.#takeTargets(owned));
        break;
      case "dropped":
        listener.runnerDropped(effect.sessionId, owned.sourcesOf(effect.sessionId));
        break;
      case "taken_back":
        listener.runnerTakenBack(effect.sessionId);
        break;
      case "forgotten":
        listener.runnerForgotten(effect.sessionId, sources);
        break;
    }
  }

  /**
   * A process that stood still itself cannot tell who was silent meanwhile. After long enough, its runners have given up
   * their connections, too, and it takes them a while to try again.
   */
  #tick(owned: OwnedTimeline, ownPauseMs: number): void {
    const nowMs = this.#nowMs();
    if (ownPauseMs > 0) {
      const isLong = ownPauseMs >= owned.state.sessionDeadMs;
      const heardMs = nowMs + (isLong ? reconnectMsMax : 0);
      for (const [sessionId, { standing }] of owned.state.runners) {
        if (standing !== "out") this.#take(owned, { kind: "heard", sessionId, nowMs: heardMs });
      }
    }
    this.#take(owned, { kind: "tick", nowMs });
  }

  async #book(owned: OwnedTimeline): Promise<void> {
    const { booker, clock, logger, listener } = this.#ports;
    const { signal } = this.#closed;
    while (!signal.aborted) {
      try {
        if (owned.values.length > 0) await booker.book(owned.values);
        owned.values.length = 0;
        break;
      } catch (error) {
        const { timeMs } = owned.state.slice;
        logger.warn("the bars of a slice are not booked yet", { slice: timeMs, error });
        await sleep(clock, bookAgainMs, signal);
      }
    }
    if (signal.aborted) return;
    const begun = [...owned.state.feeds].filter(([, { logRow }]) => logRow >= 0);
    booker.passed(begun.map(([source, { logRow: row }]) => ({ source, row })));
    listener.sliceBooked(owned.state);
    this.#take(owned, { kind: "booked" });
    owned.booked();
  }

  async #takeTargets(owned: OwnedTimeline): Promise<void> {
    const calls = this.#calls.collect(new Set(owned.state.feeds.keys()));
    try {
      const ending = calls.map(({ call }) => call);
      if (calls.length > 0) await this.#ports.booker.take(ending, goesOn(owned.state));
    } catch (failure) {
      for (const one of calls) one.failed(failure);
      const sessionIds = calls.map(({ call }) => call.sessionId);
      this.#take(owned, { kind: "not_taken", sessionIds });
      return;
    }
    // What was taken may have made the first order.
    this.#check(owned);
    const { mustRestate } = this.#ports;
    const sessionIds = calls.flatMap(({ call }) => (mustRestate(call) ? [call.sessionId] : []));
    if (sessionIds.length > 0) this.#take(owned, { kind: "gate_opened", sessionIds });
    this.#take(owned, { kind: "taken" });
    this.#calls.taken(calls);
  }

  #inBackground(work: Promise<void>): void {
    work.catch((error: unknown) => {
      this.#ports.logger.error("a slice stands still", { error });
    });
  }

  #nowMs(): number {
    return this.#ports.clock.monotonicMs();
  }
}

function isSame(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((one) => b.has(one));
}
