import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import {
  type NodeLease,
  type QueueService,
  ReleaseReason,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { leaseKeysMax, QUEUE_TIMERS, usableUntil } from "@qmtl/core/queues";
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
  /** Told how each call for leases ends. @default nobody */
  readonly monitor?: Pick<DagManagerMonitor, "answered" | "failed">;
  readonly reports: Pick<RunReports, "problem">;
}

/** Notified of the leases of a session. Implemented by `RunParts`. */
export interface LeaseListener {
  /** Before a granted lease is used; false gives it back. */
  mayHold(replica: QueueReplica, lease: NodeLease): boolean;
  /** Leases were asked for or renewed, and there was an answer, with or without grants. */
  leasesAnswered(): void;
}

const againMs = 200;
const againMsMax = 4_000;
/** How often replicas look at their own timers, milliseconds. */
const tickMs = 500;

/** Asks for the node leases of the queues it is told, renews those it has, and gives them up. */
export class HeldLeases {
  readonly #options: HeldLeasesOptions;
  readonly #replicas = new Set<QueueReplica>();
  /** Dropped, with something still under way. */
  readonly #leaving = new Set<QueueReplica>();
  readonly #stop = new AbortController();
  #asked: AbortController | undefined;
  #loops: Promise<void> = Promise.resolve();
  #wake: (() => void) | undefined;
  /** Keys were added: the next ask is answered at once, so that it is known what others hold. */
  #isNew = false;
  #renewMs = QUEUE_TIMERS.nodeRenewMs;
  #leaseMs = QUEUE_TIMERS.nodeLeaseMs;
  #marginMs = QUEUE_TIMERS.nodeMarginMs;
  /** Releases under way, by compute key. */
  readonly #releases = new Map<string, Promise<unknown>>();

  constructor(options: HeldLeasesOptions) {
    this.#options = options;
  }

  start(): void {
    this.#loops = Promise.all([this.#acquireLoop(), this.#renewLoop(), this.#tickLoop()]).then(
      () => {},
    );
  }

  /** Asks for the leases of these queues from now on, and renews them. */
  add(replicas: Iterable<QueueReplica>): void {
    for (const replica of replicas) this.#replicas.add(replica);
    this.#isNew = true;
    this.poke();
  }

  /** Asks for these queues no longer; leases that are held are given up once their window is effective. */
  drop(replicas: Iterable<QueueReplica>): void {
    for (const replica of replicas) {
      this.#replicas.delete(replica);
      if (replica.phase === "WAITING" || replica.phase === "DIVERGED") continue;
      this.#leaving.add(replica);
      replica.release();
    }
    this.poke();
  }

  /** Asks again, with the queues that are wanted now. */
  poke(): void {
    this.#asked?.abort();
    this.#wake?.();
  }

  /** Gives a lease back to the server after `stored`; a replica calls this when it has nothing under way any more. */
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
   * Ends the asking and renewing, after the releases under way. A lease whose last row is not effective yet, for one
   * because a barrier holds the feed, is given back all the same: the log refuses the row under it from then on, and
   * the next holder publishes it.
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

  #callRelease(replica: QueueReplica, epoch: number, reason: ReleaseReason): Promise<unknown> {
    const { queues, tickets } = this.#options;
    const leases = [{ computeKey: replica.computeKey, leaseEpoch: BigInt(epoch) }];
    return tickets.call((ticket) =>
      queues.releaseLeases({ ticket, leases, reason }, { timeoutMs: 2_000 }),
    );
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
        await this.#acquire(wanted.slice(0, leaseKeysMax), call.signal);
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
   * Keys to ask for. A queue that this session is giving up is asked for after that: before, the lease it is about to
   * lose would be given to it again.
   */
  #wanted(): QueueReplica[] {
    const leaving = new Set(this.#releases.keys());
    for (const replica of this.#leaving)
      if (replica.phase !== "WAITING") leaving.add(replica.computeKey);
    return [...this.#replicas].filter(
      (replica) =>
        replica.phase === "WAITING" && !replica.isEnded && !leaving.has(replica.computeKey),
    );
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

  async #acquire(wanted: readonly QueueReplica[], signal: AbortSignal): Promise<void> {
    const { queues, tickets, clock, listener } = this.#options;
    const waitMs = this.#isNew ? 0 : QUEUE_TIMERS.acquireWaitMs;
    this.#isNew = false;
    const asks = wanted.map((replica) => ({
      computeKey: replica.computeKey,
      build: replica.identity.build,
      upstreamsLocal: true,
    }));
    let sentAtMs = clock.elapsedMs();
    const { leases } = await tickets.call((ticket) => {
      sentAtMs = clock.elapsedMs();
      return queues.acquireLeases(
        { ticket, keys: asks, wait: durationFromMs(waitMs) },
        { signal, timeoutMs: waitMs + 10_000 },
      );
    }, signal);
    this.#options.monitor?.answered();
    const byKey = new Map(wanted.map((replica) => [replica.computeKey, replica]));
    // A long poll is answered long after it was sent: the lease counts from its end at the server, and the
    // first renewal, sent at once, gives it a start of its own.
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
      // The lease is this session's from before, and its START is in the log already: it was given up here while
      // nobody could be told. It cannot be claimed a second time; given back, the next one has a new epoch.
      if (replica.phase === "WAITING") await this.#callRelease(replica, epoch, ReleaseReason.STOP);
    }
    if (leases.length > 0) await this.#renew();
    listener.leasesAnswered();
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

  async #renew(): Promise<void> {
    const { queues, tickets, clock, listener } = this.#options;
    const held = [...this.#replicas, ...this.#leaving].filter(
      (replica) => replica.phase !== "WAITING" && replica.epoch > 0,
    );
    if (held.length === 0) return;
    const refs = held.map((replica) => ({ replica, epoch: replica.epoch })).slice(0, leaseKeysMax);
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
      // Under its own epoch it is refused while the row is written, and for good when it was given up.
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
