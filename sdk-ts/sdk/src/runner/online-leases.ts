import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import {
  type NodeLease,
  type QueueService,
  ReleaseReason,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { leaseKeysMax, QUEUE_TIMERS, usableUntil } from "@qmtl/core/queues";
import { pause, type SdkClock } from "../control/clock.ts";
import type { TicketedCalls } from "../control/ticket-keeper.ts";
import type { QueueReach } from "./queue-reach.ts";
import type { QueueReplica } from "./queue-replica.ts";

export interface LeaseKeeperOptions {
  readonly queues: Client<typeof QueueService>;
  readonly clock: SdkClock;
  readonly tickets: TicketedCalls;
  readonly elapsedMs: () => number;
  /** Before a granted lease is used; false gives it back. */
  readonly onGranted: (key: QueueReplica, lease: NodeLease) => boolean;
  /** An acquire was answered, with or without grants. */
  readonly onAnswer: () => void;
  /** Told how each call for leases ends. @default nobody */
  readonly reach?: Pick<QueueReach, "answered" | "failed">;
  readonly onProblem: (problem: string) => void;
}

const againMs = 200;
const againMsMax = 4_000;
/** How often keys look at their own timers, milliseconds. */
const tickMs = 500;

/** Asks for the node leases of the keys it is told, renews those it has, and gives them up. */
export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #keys = new Set<QueueReplica>();
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

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#loops = Promise.all([this.#acquireLoop(), this.#renewLoop(), this.#tickLoop()]).then(
      () => {},
    );
  }

  /** Stands for these keys from now on. */
  add(keys: Iterable<QueueReplica>): void {
    for (const key of keys) this.#keys.add(key);
    this.#isNew = true;
    this.poke();
  }

  /** No longer stands for these keys; the ones held are given up when their window is effective. */
  drop(keys: Iterable<QueueReplica>): void {
    for (const key of keys) {
      this.#keys.delete(key);
      if (key.phase === "WAITING" || key.phase === "DIVERGED") continue;
      this.#leaving.add(key);
      key.release();
    }
    this.poke();
  }

  /** Asks again, with the keys that are wanted now. */
  poke(): void {
    this.#asked?.abort();
    this.#wake?.();
  }

  /** Tells the server, after `stored`; called by a key when it has nothing under way any more. */
  release(
    key: QueueReplica,
    epoch: number,
    reason: "clean" | "diverged",
    stored: Promise<unknown> = Promise.resolve(),
  ): void {
    const { computeKey } = key;
    const why = reason === "diverged" ? ReleaseReason.DIVERGED : ReleaseReason.STOP;
    const call = stored
      .then(() => this.#callRelease(key, epoch, why))
      .catch(() => undefined)
      .finally(() => {
        if (this.#releases.get(computeKey) === call) this.#releases.delete(computeKey);
        this.#wake?.();
      });
    this.#releases.set(computeKey, call);
    if (reason === "diverged") this.#keys.delete(key);
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
      held.map((key) => this.#callRelease(key, key.epoch, ReleaseReason.STOP)),
    );
  }

  #callRelease(key: QueueReplica, epoch: number, reason: ReleaseReason): Promise<unknown> {
    const { queues, tickets } = this.#options;
    const leases = [{ computeKey: key.computeKey, leaseEpoch: BigInt(epoch) }];
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
    for (const key of this.#leaving) if (key.phase !== "WAITING") leaving.add(key.computeKey);
    return [...this.#keys].filter(
      (key) => key.phase === "WAITING" && !key.isEnded && !leaving.has(key.computeKey),
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
    const { queues, tickets, elapsedMs, onGranted, onAnswer } = this.#options;
    const waitMs = this.#isNew ? 0 : QUEUE_TIMERS.acquireWaitMs;
    this.#isNew = false;
    const asks = wanted.map((key) => ({
      computeKey: key.computeKey,
      build: key.identity.build,
      upstreamsLocal: true,
    }));
    let sentAtMs = elapsedMs();
    const { leases } = await tickets.call((ticket) => {
      sentAtMs = elapsedMs();
      return queues.acquireLeases(
        { ticket, keys: asks, wait: durationFromMs(waitMs) },
        { signal, timeoutMs: waitMs + 10_000 },
      );
    }, signal);
    this.#options.reach?.answered();
    const byKey = new Map(wanted.map((key) => [key.computeKey, key]));
    // A long poll is answered long after it was sent: the lease counts from its end at the server, and the
    // first renewal, sent at once, gives it a start of its own.
    for (const lease of leases) {
      const key = byKey.get(lease.computeKey);
      if (key === undefined) continue;
      this.#learn(lease);
      // Dropped while the answer was on its way: nobody would renew it or give it up.
      if (!this.#keys.has(key)) {
        this.release(key, Number(lease.leaseEpoch), "clean");
        continue;
      }
      if (!onGranted(key, lease)) {
        this.release(key, Number(lease.leaseEpoch), "clean");
        this.#keys.delete(key);
        continue;
      }
      const epoch = Number(lease.leaseEpoch);
      key.granted(epoch, usableUntil(sentAtMs, this.#leaseMs, this.#marginMs));
      // The lease is this session's from before, and its START is in the log already: it was given up here while
      // nobody could be told. It cannot be claimed a second time; given back, the next one has a new epoch.
      if (key.phase === "WAITING") await this.#callRelease(key, epoch, ReleaseReason.STOP);
    }
    if (leases.length > 0) await this.#renew();
    onAnswer();
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
    const { queues, tickets, elapsedMs, onAnswer } = this.#options;
    const held = [...this.#keys, ...this.#leaving].filter(
      (key) => key.phase !== "WAITING" && key.epoch > 0,
    );
    if (held.length === 0) return;
    const refs = held.map((key) => ({ key, epoch: key.epoch })).slice(0, leaseKeysMax);
    const leases = refs.map(({ key, epoch }) => ({
      computeKey: key.computeKey,
      leaseEpoch: BigInt(epoch),
    }));
    let sentAtMs = elapsedMs();
    const { renewals } = await tickets.call((ticket) => {
      sentAtMs = elapsedMs();
      return queues.renewLeases({ ticket, leases }, { timeoutMs: this.#renewMs });
    });
    this.#options.reach?.answered();
    const until = usableUntil(sentAtMs, this.#leaseMs, this.#marginMs);
    let isLost = false;
    renewals.forEach((renewal, at) => {
      const ref = refs[at];
      if (ref === undefined || ref.key.epoch !== ref.epoch) return;
      if (renewal.renewed) ref.key.renewed(ref.epoch, until);
      // Under its own epoch it is refused while the row is written, and for good when it was given up.
      else if (Number(renewal.currentEpoch) !== ref.epoch || ref.key.isPastUse) {
        ref.key.leaseLost(Number(renewal.currentEpoch));
        isLost = true;
      }
    });
    if (isLost) this.poke();
    onAnswer();
  }

  #failed(failure: unknown): void {
    const { reach, onProblem } = this.#options;
    reach?.failed(failure);
    onProblem(failure instanceof Error ? failure.message : String(failure));
  }

  async #tickLoop(): Promise<void> {
    const signal = this.#stop.signal;
    while (!signal.aborted) {
      await pause(this.#options.clock, tickMs, signal);
      for (const key of [...this.#keys, ...this.#leaving]) key.tick();
      for (const key of this.#leaving) if (key.phase === "WAITING") this.#leaving.delete(key);
    }
  }
}
