/**
 * Timers and windows of node leases and queues.
 *
 * | name              | default | rule                                                         |
 * | ----------------- | ------- | ------------------------------------------------------------ |
 * | nodeLeaseMs       | 10 000  | ≥ 3·nodeRenewMs + nodeMarginMs; 3 000 … 60 000                |
 * | nodeRenewMs       | 3 000   | one batched call per process                                 |
 * | nodeMarginMs      | 1 000   | ≥ 0.02·nodeLeaseMs + 300                                      |
 * | acquireWaitMs     | 30 000  | an acquire is answered once the lease is vacant, or after this |
 * | resendMs          | 1 000   | own record not seen effective: send again                    |
 * | releaseDrainMs    | 1 000   | a clean release waits this long for its window               |
 *
 * None of them is needed for safety: leases may lapse at any moment. They decide only how soon and
 * how often takeovers happen.
 */
export interface QueueTimers {
  readonly nodeLeaseMs: number;
  readonly nodeRenewMs: number;
  readonly nodeMarginMs: number;
  readonly acquireWaitMs: number;
  readonly resendMs: number;
  readonly releaseDrainMs: number;
}

/** The defaults of the table. */
export const QUEUE_TIMERS: QueueTimers = {
  nodeLeaseMs: 10_000,
  nodeRenewMs: 3_000,
  nodeMarginMs: 1_000,
  acquireWaitMs: 30_000,
  resendMs: 1_000,
  releaseDrainMs: 1_000,
};

/** Records sent and not yet seen effective, per key of a computed node. */
export const computedWindowMax = 64;
/** The same per key of a source: the rows that its holder offers ahead. */
export const sourceWindowMax = 64;
/** Keys, leases or snapshots in one call of the queue services: a session with more queues makes several calls. */
export const queueKeysMax = 1_000;
/** Candidates that wait for one key at a time. */
export const candidatesMax = 1_024;

/** Consecutive parts of a list, each of `size` entries but the last, which may have fewer; none of an empty list. */
export function inChunks<T>(list: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, at) =>
    list.slice(at * size, (at + 1) * size),
  );
}

/** The rules of the table that `timers` breaks, as sentences; empty when they may be used. */
export function checkQueueTimers(timers: QueueTimers): string[] {
  const broken: string[] = [];
  const t = timers;
  const leaseMin = 3 * t.nodeRenewMs + t.nodeMarginMs;
  if (!(t.nodeLeaseMs >= 3_000 && t.nodeLeaseMs <= 60_000)) {
    broken.push(`nodeLeaseMs must be 3000 to 60000, is ${t.nodeLeaseMs}`);
  }
  if (!(t.nodeLeaseMs >= leaseMin)) {
    broken.push(`nodeLeaseMs must be at least 3·nodeRenewMs + nodeMarginMs = ${leaseMin}`);
  }
  const marginMin = 0.02 * t.nodeLeaseMs + 300;
  if (!(t.nodeMarginMs >= marginMin)) {
    broken.push(`nodeMarginMs must be at least 0.02·nodeLeaseMs + 300 = ${marginMin}`);
  }
  return broken;
}
