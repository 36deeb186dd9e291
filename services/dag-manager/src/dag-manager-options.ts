import { checkQueueTimers, QUEUE_TIMERS, type QueueTimers } from "@qmtl/core/queues";
import { QmtlError } from "@qmtl/sdk/rpc";
import { feedConfigs, type SourceEntry } from "./replay/feed-config.ts";
import type { FeedConfig } from "./store/replay-store.ts";

/** The keys of the configuration that this service reads. */
export interface DagManagerConfig {
  readonly sources: Readonly<Record<string, SourceEntry>>;
  readonly dag_manager: {
    readonly node_lease_ms: number;
    readonly node_renew_ms: number;
    readonly node_margin_ms: number;
  };
  readonly test?: { readonly test_mode: boolean };
}

/** The configuration, checked and in the types used inside. */
interface DagManagerOptions {
  readonly timers: QueueTimers;
  readonly feeds: readonly FeedConfig[];
  /** Milliseconds between the empty responses of an idle Consume. */
  readonly keepAliveMs: number;
  readonly flags: readonly string[];
}

/** Below the 2 s that the contract promises, so that a late timer does not break the promise. */
const keepAliveMs = 1_500;

/** @throws {QmtlError} TIMERS_INVALID with every rule that is broken. */
export function dagManagerOptions(config: DagManagerConfig): DagManagerOptions {
  const { node_lease_ms, node_renew_ms, node_margin_ms } = config.dag_manager;
  const timers: QueueTimers = {
    ...QUEUE_TIMERS,
    nodeLeaseMs: node_lease_ms,
    nodeRenewMs: node_renew_ms,
    nodeMarginMs: node_margin_ms,
  };
  const broken = checkQueueTimers(timers);
  if (broken.length > 0) {
    const fields = broken.map((description) => ({ field: "dag_manager", description }));
    throw new QmtlError("TIMERS_INVALID", broken.join("; "), { fields });
  }
  const flags = config.test?.test_mode === true ? ["test_mode"] : [];
  return { timers, feeds: feedConfigs(config.sources), keepAliveMs, flags };
}
