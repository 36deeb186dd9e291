import { type NodeLeaseRow, NodeLeaseTable, type QueueTimers } from "@qmtl/core/queues";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type Clock, type ClockTimer, type Logger, SerialQueue } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import { closedKeys, leaseRows } from "../store/lease-store.ts";
import { type LeaderCheck, LeaseCommits } from "./lease-commits.ts";

/** Number of sessions above which silent ones are forgotten. */
const sessionsMax = 4_096;

/** Largest number of calls that wait for leases. */
const waitingCallsMax = 4_096;
/** How often waiting calls are checked, milliseconds: how late a lapse is noticed. */
const lookMs = 100;

/** One key of an AcquireLeases request. */
interface LeaseRequest {
  readonly computeKey: string;
  readonly build: string;
  readonly upstreamsLocal: boolean;
}

export interface GrantedLease {
  readonly computeKey: string;
  readonly epoch: number;
}

interface WaitingCall {
  readonly sessionId: string;
  readonly keys: ReadonlySet<string>;
  readonly granted: GrantedLease[];
  /** Ends the wait. */
  wake: () => void;
}

interface NodeLeasesOptions {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly timers: QueueTimers;
  readonly checkLeader: LeaderCheck;
}

/**
 * The node leases of every key: which session computes what, their rows in the database, and the calls that wait.
 * Renewals are answered from memory; only a change of holder is written, one transaction at a time.
 */
export class NodeLeases {
  readonly #options: NodeLeasesOptions;
  readonly #commits: LeaseCommits;
  readonly #closed = new Set<string>();
  readonly #calls = new Set<WaitingCall>();
  readonly #heard: LastContacts;
  #table: NodeLeaseTable;
  #timer: ClockTimer | undefined;
  /** Changes of holders, one transaction at a time. */
  readonly #writes = new SerialQueue();

  constructor(options: NodeLeasesOptions) {
    this.#options = options;
    this.#commits = new LeaseCommits(options.db, options.clock, options.checkLeader);
    this.#heard = new LastContacts(options.clock, options.timers.nodeLeaseMs);
    this.#table = this.#tableOf([]);
  }

  /**
   * Reads the rows; this process leads from now on. A key that is held is granted to nobody else before one lease
   * duration has passed, unless its holder releases it.
   */
  async start(): Promise<void> {
    const rows = await leaseRows(this.#options.db);
    for (const key of await closedKeys(this.#options.db)) this.#closed.add(key);
    this.#table = this.#tableOf(rows);
  }

  /** Ends every wait. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const call of this.#calls) call.wake();
  }

  /** Grants no lease of the key any more, because its queue has ended. Its holder may still renew. */
  close(computeKey: string): void {
    this.#closed.add(computeKey);
  }

  /**
   * Waits until at least one of the keys can be granted, or `waitMs` have passed; resolves to what was granted.
   * A key that the session holds already is given to it again, under the same epoch.
   *
   * @throws {QmtlError} TOO_MANY_REQUESTS when too many calls wait.
   */
  async acquire(
    sessionId: string,
    asks: readonly LeaseRequest[],
    waitMs: number,
    signal: AbortSignal,
  ): Promise<GrantedLease[]> {
    this.#heard.hear(sessionId);
    const held = this.#renewHeld(sessionId, asks);
    const heldKeys = new Set(held.map((lease) => lease.computeKey));
    const open = asks.filter((ask) => !heldKeys.has(ask.computeKey));
    if (open.length === 0) return held;
    const call = this.#enter(sessionId, open);
    try {
      await this.#grant(call.keys);
      if (call.granted.length === 0 && held.length === 0) await this.#wait(call, waitMs, signal);
    } finally {
      this.#calls.delete(call);
      for (const key of call.keys)
        if (!this.#isAwaited(key, sessionId)) this.#table.withdraw(key, sessionId);
    }
    this.#heard.hear(sessionId);
    return [...held, ...call.granted];
  }

  /** Renews leases for one lease duration from now; returns one result per lease, in order. */
  renew(sessionId: string, leases: readonly GrantedLease[]) {
    this.#heard.hear(sessionId);
    const nowMs = this.#options.clock.monotonicMs();
    return leases.map(({ computeKey, epoch }) => {
      const answer = this.#table.renew(computeKey, { sessionId, epoch }, nowMs);
      return answer.renewed
        ? { isRenewed: true, currentEpoch: epoch }
        : { isRenewed: false, currentEpoch: answer.currentEpoch };
    });
  }

  /** Gives leases up; those that the session does not hold are skipped. Waiting candidates are granted them at once. */
  async release(
    sessionId: string,
    leases: readonly GrantedLease[],
    reason: "clean" | "diverged",
  ): Promise<void> {
    this.#heard.hear(sessionId);
    await this.#writes.run(async () => {
      const proposals = leases.flatMap(({ computeKey, epoch }) => {
        const proposal = this.#table.proposeRelease(computeKey, { sessionId, epoch }, reason);
        return proposal ?? [];
      });
      await this.#commits.commit(this.#table, proposals);
    });
    await this.#grant(leases.map((lease) => lease.computeKey));
  }

  /** True when the session holds the key, even if it has been silent for longer than its lease. */
  isHolder(computeKey: string, sessionId: string): boolean {
    return this.#table.row(computeKey).sessionId === sessionId;
  }

  /** True when the epoch is the last one granted for the key, and another session holds it. */
  isOfAnother(computeKey: string, epoch: number, sessionId: string): boolean {
    const row = this.#table.row(computeKey);
    return row.epoch === epoch && row.sessionId !== null && row.sessionId !== sessionId;
  }

  /** The row of a key; its session may have been silent for longer than its lease. */
  row(computeKey: string): NodeLeaseRow {
    return this.#table.row(computeKey);
  }

  /** True when the key is never granted to a build, because it has computed it otherwise than its log has it. */
  isExcluded({ computeKey, build }: Pick<LeaseRequest, "computeKey" | "build">): boolean {
    return this.#table.row(computeKey).excluded.includes(build);
  }

  /** Session whose lease of a key has not run out; undefined for none. */
  holder(computeKey: string): string | undefined {
    return this.#table.holder(computeKey, this.#options.clock.monotonicMs()) ?? undefined;
  }

  /** Number of sessions that wait for a key; those of builds that are never granted it do not count. */
  candidates(computeKey: string): number {
    return this.#table.candidates(computeKey);
  }

  /** True when the session asked for, renewed or released a lease within the last lease duration. */
  isHeard(sessionId: string): boolean {
    return this.#heard.isHeard(sessionId);
  }

  #tableOf(rows: readonly NodeLeaseRow[]): NodeLeaseTable {
    const { clock, timers } = this.#options;
    const leadershipBeganAtMs = clock.monotonicMs();
    return new NodeLeaseTable(rows, { leaseMs: timers.nodeLeaseMs, leadershipBeganAtMs });
  }

  /** Whether a call of the session waits for the key: a session may ask again before its call before has ended. */
  #isAwaited(computeKey: string, sessionId: string): boolean {
    for (const call of this.#calls)
      if (call.sessionId === sessionId && call.keys.has(computeKey)) return true;
    return false;
  }

  #renewHeld(sessionId: string, asks: readonly LeaseRequest[]): GrantedLease[] {
    const nowMs = this.#options.clock.monotonicMs();
    return asks.flatMap(({ computeKey, build }) => {
      const row = this.#table.row(computeKey);
      if (row.sessionId !== sessionId || row.build !== build) return [];
      const { epoch } = row;
      const answer = this.#table.renew(computeKey, { sessionId, epoch }, nowMs);
      return answer.renewed ? [{ computeKey, epoch }] : [];
    });
  }

  #enter(sessionId: string, asks: readonly LeaseRequest[]): WaitingCall {
    if (this.#calls.size >= waitingCallsMax) {
      const message = "too many calls wait for leases";
      throw new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 1_000 });
    }
    const nowMs = this.#options.clock.monotonicMs();
    for (const { computeKey, build, upstreamsLocal } of asks) {
      const hasUpstreamsLocally = upstreamsLocal;
      const candidate = { sessionId, build, reachesUpstreams: true, hasUpstreamsLocally };
      this.#table.acquire(computeKey, candidate, nowMs);
    }
    const keys = new Set(asks.map((ask) => ask.computeKey));
    const call: WaitingCall = { sessionId, keys, granted: [], wake: () => {} };
    this.#calls.add(call);
    return call;
  }

  async #wait(call: WaitingCall, waitMs: number, signal: AbortSignal): Promise<void> {
    if (waitMs === 0 || signal.aborted) return;
    this.#look();
    const { clock } = this.#options;
    await new Promise<void>((resolve) => {
      const timer = clock.setTimer(() => call.wake(), waitMs);
      call.wake = () => {
        timer.cancel();
        signal.removeEventListener("abort", call.wake);
        resolve();
      };
      signal.addEventListener("abort", call.wake);
    });
  }

  /** Looks for lapsed leases, every `lookMs`, as long as calls wait. */
  #look(): void {
    if (this.#timer !== undefined) return;
    this.#timer = this.#options.clock.setTimer(() => {
      this.#timer = undefined;
      const keys = new Set([...this.#calls].flatMap((call) => [...call.keys]));
      this.#grant(keys)
        .catch((error: unknown) =>
          this.#options.logger.warn("granting node leases failed", { error }),
        )
        .finally(() => {
          if (this.#calls.size > 0) this.#look();
        });
    }, lookMs);
  }

  /** Grants those of the keys that are vacant, each to the best candidate that waits. */
  #grant(keys: Iterable<string>): Promise<void> {
    return this.#writes.run(async () => {
      await this.#commits.reread(this.#table);
      const nowMs = this.#options.clock.monotonicMs();
      const proposals = [...keys].flatMap((key) => {
        return this.#closed.has(key) ? [] : (this.#table.proposeGrant(key, nowMs) ?? []);
      });
      for (const { row } of await this.#commits.commit(this.#table, proposals)) {
        this.#answer({ computeKey: row.key, epoch: row.epoch }, row.sessionId);
      }
      for (const call of this.#calls) if (call.granted.length > 0) call.wake();
    });
  }

  #answer(lease: GrantedLease, sessionId: string | null): void {
    for (const call of this.#calls) {
      if (call.sessionId !== sessionId || !call.keys.has(lease.computeKey)) continue;
      call.granted.push(lease);
      return;
    }
    // The call has ended meanwhile: the session is given the lease when it asks again, or the lease lapses.
  }
}

/** When each session was last heard from. In memory only: after a restart every session counts as silent. */
class LastContacts {
  readonly #clock: Clock;
  readonly #silentMs: number;
  readonly #heardMs = new Map<string, number>();

  /** A session not heard from for `silentMs` counts as gone. */
  constructor(clock: Clock, silentMs: number) {
    this.#clock = clock;
    this.#silentMs = silentMs;
  }

  hear(sessionId: string): void {
    this.#heardMs.set(sessionId, this.#clock.monotonicMs());
    if (this.#heardMs.size <= sessionsMax) return;
    for (const known of [...this.#heardMs.keys()]) {
      if (!this.isHeard(known)) this.#heardMs.delete(known);
    }
  }

  isHeard(sessionId: string): boolean {
    const heardMs = this.#heardMs.get(sessionId);
    return heardMs !== undefined && this.#clock.monotonicMs() - heardMs < this.#silentMs;
  }
}
