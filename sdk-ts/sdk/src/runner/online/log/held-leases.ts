import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import {
  type NodeLease,
  type QueueService,
  ReleaseReason,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { inChunks, QUEUE_TIMERS, queueKeysMax, usableUntil } from "@qmtl/core/queues";
import { pause } from "../../../control/clock.ts";
import type { TicketedCalls } from "../../../control/ticket-keeper.ts";
import type { DagManagerMonitor } from "../session/connection-monitor.ts";
import type { RunClock } from "../session/ongoing-run.ts";
import type { RunReports } from "../session/run-reporter.ts";
import type { QueueReplica } from "./queue-replica.ts";

interface HeldLeasesOptions {
  readonly queues: Client<typeof QueueService>;
  readonly clock: RunClock;
  readonly tickets: TicketedCalls;
  readonly listener: LeaseListener;
  /** Notified how each call for leases ends. @default none */
  readonly monitor?: Pick<DagManagerMonitor, "answered" | "failed">;
  readonly reports: Pick<RunReports, "problem">;
}

/** Notified of the leases of a session. Implemented by `RunParts`. */
export interface LeaseListener {
  /** Called before a granted lease is used; false gives the lease back. */
  mayHold(replica: QueueReplica, lease: NodeLease): boolean;
  /** A call that requests or renews leases was answered, with or without grants. */
  leasesAnswered(): void;
}

const againMs = 200;
const againMsMax = 4_000;
/** Interval at which replicas check their own timers, milliseconds. */
const tickMs = 500;
/** Longest call that gives leases back, a thousand at most, milliseconds. */
const releaseMsMax = 10_000;

interface ReturnedLease {
  readonly computeKey: string;
  readonly leaseEpoch: bigint;
}

/**
 * Requests the node leases of the queues that were added, renews those it has, and gives up those of dropped queues.
 */
export class HeldLeases {
  readonly #options: HeldLeasesOptions;
  readonly #replicas = new Set<QueueReplica>();
  /** Dropped queues with something still under way. */
  readonly #leaving = new Set<QueueReplica>();
  readonly #stop = new AbortController();
  #asked: AbortController | undefined;
  #loops: Promise<void> = Promise.resolve();
  #wake: (() => void) | undefined;
  /**
   * Requests that are answered without a wait, so that it is soon known what others hold: one for each
   * `queueKeysMax` queues, after queues were added.
   */
  #immediate = 0;
  /** Requests so far: where more queues are wanted than one request may name, they take turns. */
  #requests = 0;
  #renewMs = QUEUE_TIMERS.nodeRenewMs;
  #leaseMs = QUEUE_TIMERS.nodeLeaseMs;
  #marginMs = QUEUE_TIMERS.nodeMarginMs;
  /** Releases under way, by compute key. */
  readonly #releases = new Map<string, Promise<unknown>>();
  /** Leases that go with the next call, by reason. */
  readonly #returning = new Map<
    ReleaseReason,
    { readonly leases: ReturnedLease[]; readonly done: Promise<unknown> }
  >();

  constructor(options: HeldLeasesOptions) {
    this.#options = options;
  }

  /** Length of a lease, milliseconds: a holder that is silent for longer is replaced. */
  get leaseMs(): number {
    return this.#leaseMs;
  }

  start(): void {
    this.#loops = Promise.all([this.#acquireLoop(), this.#renewLoop(), this.#tickLoop()]).then(
      () => {},
    );
  }

  /** Requests the leases of these queues from now on, and renews them. */
  add(replicas: Iterable<QueueReplica>): void {
    for (const replica of replicas) this.#replicas.add(replica);
    this.#immediate = Math.ceil(this.#replicas.size / queueKeysMax);
    this.poke();
  }

  /** Stops requesting the leases of these queues; leases that are held are given up once their window is effective. */
  drop(replicas: Iterable<QueueReplica>): void {
    for (const replica of replicas) {
      this.#replicas.delete(replica);
      if (replica.phase === "WAITING" || replica.phase === "DIVERGED") continue;
      this.#leaving.add(replica);
      replica.release();
    }
    this.poke();
  }

  /** Makes a new request at once, for the queues that are wanted now. */
  poke(): void {
    this.#asked?.abort();
    this.#wake?.();
  }

  /** Gives a lease back to the server after `stored`; a replica calls this when nothing of it is under way any more. */
  release(
    replica: QueueReplica,
    epoch: number,
    reason: "clean" | "diverged",
    stored: Promise<unknown> = Promise.resolve(),
  ): void {
    const { computeKey } = replica;
    const why = reason === "diverged" ? ReleaseReason.DIVERGED : ReleaseReason.STOP;
    const call = stored
      .then(() => this.#callRelease(replica, epoch, why))
      .catch(() => undefined)
      .finally(() => {
        if (this.#releases.get(computeKey) === call) this.#releases.delete(computeKey);
        this.#wake?.();
      });
    this.#releases.set(computeKey, call);
    if (reason === "diverged") this.#replicas.delete(replica);
  }

  /**
   * Stops requesting and renewing, and waits for the releases under way. A lease whose last row is not effective yet,
   * for example because a barrier holds the feed, is given back all the same: from then on the log refuses that row,
   * and the next holder publishes it.
   */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.poke();
    await this.#loops;
    await Promise.all(this.#releases.values());
    const held = [...this.#leaving].filter(({ phase, epoch }) => phase !== "WAITING" && epoch > 0);
    await Promise.allSettled(
      held.map((replica) => this.#callRelease(replica, replica.epoch, ReleaseReason.STOP)),
    );
  }

  /** Leases that are given back at one moment go together: a run may have more of them than a server takes calls. */
  #callRelease(replica: QueueReplica, epoch: number, reason: ReleaseReason): Promise<unknown> {
    const lease = { computeKey: replica.computeKey, leaseEpoch: BigInt(epoch) };
    const begun = this.#returning.get(reason);
    if (begun !== undefined) {
      begun.leases.push(lease);
      return begun.done;
    }
    const leases = [lease];
    const done = Promise.resolve().then(() => {
      this.#returning.delete(reason);
      return this.#releaseAll(leases, reason);
    });
    this.#returning.set(reason, { leases, done });
    return done;
  }

  #releaseAll(all: readonly ReturnedLease[], reason: ReleaseReason): Promise<unknown> {
    const { queues, tickets } = this.#options;
    const calls = inChunks(all, queueKeysMax).map((leases) =>
      tickets.call((ticket) =>
        queues.releaseLeases({ ticket, leases, reason }, { timeoutMs: releaseMsMax }),
      ),
    );
    return Promise.all(calls);
  }

  async #acquireLoop(): Promise<void> {
    const { clock } = this.#options;
    const signal = this.#stop.signal;
    let failures = 0;
    while (!signal.aborted) {
      const wanted = this.#wanted();
      if (wanted.length === 0) {
        await this.#changed();
        continue;
      }
      const call = new AbortController();
      this.#asked = call;
      try {
        const chunks = inChunks(wanted, queueKeysMax);
        const chunk = chunks[this.#requests++ % chunks.length] ?? [];
        // Whole milliseconds: a part of one is no Duration.
        const waitMs = Math.floor(QUEUE_TIMERS.acquireWaitMs / chunks.length);
        await this.#acquire(chunk, waitMs, call.signal);
        failures = 0;
      } catch (failure) {
        if (signal.aborted || call.signal.aborted) continue;
        failures++;
        this.#failed(failure);
        await pause(clock, Math.min(againMsMax, againMs * 2 ** failures), signal);
      }
    }
  }

  /**
   * Queues whose leases are to be requested. One that this session is giving up is requested only afterwards: before,
   * the session would be granted again the lease that it is about to give up. Of several replicas of one queue, in
   * different contexts, one holds the lease, and the others follow it.
   */
  #wanted(): QueueReplica[] {
    const taken = new Set(this.#releases.keys());
    for (const replica of [...this.#replicas, ...this.#leaving])
      if (replica.phase !== "WAITING") taken.add(replica.computeKey);
    return [...this.#replicas].filter((replica) => {
      if (replica.phase !== "WAITING" || replica.isEnded || taken.has(replica.computeKey))
        return false;
      taken.add(replica.computeKey);
      return true;
    });
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
      if (this.#stop.signal.aborted) this.#wake();
    });
  }

  async #acquire(
    wanted: readonly QueueReplica[],
    waitMsMax: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { queues, tickets, clock, listener } = this.#options;
    const waitMs = this.#immediate > 0 ? 0 : waitMsMax;
    this.#immediate = Math.max(0, this.#immediate - 1);
    const asks = wanted.map((replica) => ({
      computeKey: replica.computeKey,
      build: replica.identity.build,
      upstreamsLocal: true,
    }));
    let sentAtMs = clock.elapsedMs();
    const { leases, excludedComputeKeys } = await tickets.call((ticket) => {
      sentAtMs = clock.elapsedMs();
      return queues.acquireLeases(
        { ticket, keys: asks, wait: durationFromMs(waitMs) },
        { signal, timeoutMs: waitMs + 10_000 },
      );
    }, signal);
    this.#options.monitor?.answered();
    const byKey = new Map(wanted.map((replica) => [replica.computeKey, replica]));
    // A long poll is answered long after it was sent. At the server the lease begins when the poll ends; here the first
    // renewal, which is sent at once, gives it its full usable time.
    for (const lease of leases) {
      const replica = byKey.get(lease.computeKey);
      if (replica === undefined) continue;
      this.#learn(lease);
      // Dropped while the answer was on its way: nobody would renew it or give it up.
      if (!this.#replicas.has(replica)) {
        this.release(replica, Number(lease.leaseEpoch), "clean");
        continue;
      }
      if (!listener.mayHold(replica, lease)) {
        this.release(replica, Number(lease.leaseEpoch), "clean");
        this.#replicas.delete(replica);
        continue;
      }
      const epoch = Number(lease.leaseEpoch);
      replica.granted(epoch, usableUntil(sentAtMs, this.#leaseMs, this.#marginMs));
      // The lease is an earlier one of this session, and its START is in the log already: it was given up here while
      // the server could not be reached. It cannot be claimed a second time; once it is given back, the next one has a
      // new epoch.
      if (replica.phase === "WAITING") await this.#callRelease(replica, epoch, ReleaseReason.STOP);
    }
    this.#exclude(excludedComputeKeys.flatMap((key) => byKey.get(key) ?? []));
    if (leases.length > 0) await this.#renew();
    listener.leasesAnswered();
  }

  /** Requests the leases no more that this build is never granted. */
  #exclude(replicas: readonly QueueReplica[]): void {
    if (replicas.length === 0) return;
    for (const replica of replicas) {
      replica.excluded();
      this.#replicas.delete(replica);
    }
    const names = replicas.map(({ identity }) => `"${identity.name}"`).join(", ");
    this.#options.reports.problem(
      `may not compute ${names}: this build has computed them otherwise than their logs have them; it follows whoever does`,
    );
  }

  #learn(lease: NodeLease): void {
    const { renewInterval, lease: length, margin } = lease;
    if (renewInterval !== undefined) this.#renewMs = durationMs(renewInterval);
    if (length !== undefined) this.#leaseMs = durationMs(length);
    if (margin !== undefined) this.#marginMs = durationMs(margin);
  }

  async #renewLoop(): Promise<void> {
    const { clock } = this.#options;
    const signal = this.#stop.signal;
    while (!signal.aborted) {
      await pause(clock, this.#renewMs, signal);
      if (signal.aborted) return;
      try {
        await this.#renew();
      } catch (failure) {
        this.#failed(failure);
      }
    }
  }

  /** Renews every lease that is held, in calls that run side by side. Rejects once all have ended, if one failed. */
  async #renew(): Promise<void> {
    const held = [...this.#replicas, ...this.#leaving].filter(
      (replica) => replica.phase !== "WAITING" && replica.epoch > 0,
    );
    const calls = inChunks(held, queueKeysMax).map((chunk) => this.#renewSome(chunk));
    for (const ended of await Promise.allSettled(calls))
      if (ended.status === "rejected") throw ended.reason;
  }

  async #renewSome(held: readonly QueueReplica[]): Promise<void> {
    const { queues, tickets, clock, listener } = this.#options;
    const refs = held.map((replica) => ({ replica, epoch: replica.epoch }));
    const leases = refs.map(({ replica, epoch }) => ({
      computeKey: replica.computeKey,
      leaseEpoch: BigInt(epoch),
    }));
    let sentAtMs = clock.elapsedMs();
    const { renewals } = await tickets.call((ticket) => {
      sentAtMs = clock.elapsedMs();
      return queues.renewLeases({ ticket, leases }, { timeoutMs: this.#renewMs });
    });
    this.#options.monitor?.answered();
    const until = usableUntil(sentAtMs, this.#leaseMs, this.#marginMs);
    let isLost = false;
    renewals.forEach((renewal, at) => {
      const ref = refs[at];
      if (ref === undefined || ref.replica.epoch !== ref.epoch) return;
      if (renewal.renewed) ref.replica.renewed(ref.epoch, until);
      // Under its own epoch, a renewal is refused while the server stores the lease, and for good once it was given up.
      else if (Number(renewal.currentEpoch) !== ref.epoch || ref.replica.isPastUse) {
        ref.replica.leaseLost(Number(renewal.currentEpoch));
        isLost = true;
      }
    });
    if (isLost) this.poke();
    listener.leasesAnswered();
  }

  #failed(failure: unknown): void {
    const { monitor, reports } = this.#options;
    monitor?.failed(failure);
    reports.problem(failure instanceof Error ? failure.message : String(failure));
  }

  async #tickLoop(): Promise<void> {
    const signal = this.#stop.signal;
    while (!signal.aborted) {
      await pause(this.#options.clock, tickMs, signal);
      for (const replica of [...this.#replicas, ...this.#leaving]) replica.tick();
      for (const replica of this.#leaving)
        if (replica.phase === "WAITING") this.#leaving.delete(replica);
    }
  }
}
