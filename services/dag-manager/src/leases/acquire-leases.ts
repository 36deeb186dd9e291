import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type {
  AcquireLeasesRequest,
  AcquireLeasesResponseSchema,
  NodeLeaseSchema,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { QueueTimers } from "@qmtl/core/queues";
import type { SessionScope } from "@qmtl/service-kit";
import { foldMessage } from "../log/fold-message.ts";
import type { DagStore } from "../store/dag-store.ts";
import { type LeaseSurroundings, leaseSurroundings } from "../store/lease-store.ts";
import type { GrantedLease, NodeLeases } from "./node-leases.ts";
import type { SessionRights } from "./session-rights.ts";

interface AcquirePorts {
  readonly store: DagStore;
  readonly nodeLeases: NodeLeases;
  readonly timers: QueueTimers;
  readonly rights: SessionRights;
}

/**
 * Answers an AcquireLeases: grants what is vacant now, or else waits until one of the keys falls vacant or the wait is
 * over; then the answer may be empty.
 *
 * @throws {QmtlError} QUEUE_NOT_FOUND naming the first key without a queue; TICKET_SCOPE naming the first key that the
 * session may not hold.
 */
export async function acquireLeases(
  ports: AcquirePorts,
  request: AcquireLeasesRequest,
  scope: SessionScope,
  signal: AbortSignal,
): Promise<MessageInitShape<typeof AcquireLeasesResponseSchema>> {
  const { store, nodeLeases, timers, rights } = ports;
  const keys = request.keys.map((ask) => ask.computeKey);
  await rights.check(scope, keys);
  const waitMs = request.wait === undefined ? 0 : durationMs(request.wait);
  const granted = await nodeLeases.acquire(scope.sessionId, request.keys, waitMs, signal);
  const serverTime = timestampFromMs(store.clock.nowMs());
  const excludedComputeKeys = request.keys
    .filter((ask) => nodeLeases.isExcluded(ask))
    .map((ask) => ask.computeKey);
  if (granted.length === 0) return { leases: [], serverTime, excludedComputeKeys };
  // Read after the grant, so that the holder begins at a head that is not older than its lease.
  const now = await leaseSurroundings(
    store.db,
    granted.map((lease) => lease.computeKey),
  );
  const times = {
    lease: durationFromMs(timers.nodeLeaseMs),
    margin: durationFromMs(timers.nodeMarginMs),
    renewInterval: durationFromMs(timers.nodeRenewMs),
  };
  const leases = granted.map((lease) => {
    return { ...leaseMessage(lease, now.get(lease.computeKey)!), ...times };
  });
  return { leases, serverTime, excludedComputeKeys };
}

function leaseMessage(
  lease: GrantedLease,
  found: LeaseSurroundings,
): MessageInitShape<typeof NodeLeaseSchema> {
  const fold = {
    epoch: found.epoch,
    seq: found.next_seq,
    nextRow: found.next_row,
    knownAtMs: found.known_at_ms ?? Number.NEGATIVE_INFINITY,
    watermarkMs: found.watermark_ms ?? Number.NEGATIVE_INFINITY,
    ended: found.is_ended,
  };
  const origin =
    found.origin_row === null
      ? {}
      : {
          origin: {
            row: BigInt(found.origin_row),
            warmFromRow: BigInt(found.origin_warm_from_row ?? found.origin_row),
            stateHash: found.origin_state_hash ?? new Uint8Array(),
          },
        };
  return {
    computeKey: lease.computeKey,
    leaseEpoch: BigInt(lease.epoch),
    checkpoint: foldMessage(fold),
    feedFingerprint: found.feed_fingerprint,
    ...origin,
  };
}
