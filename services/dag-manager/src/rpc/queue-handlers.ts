import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { QueueTimers } from "@qmtl/core/queues";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type Handlers, type ServedService, serve } from "@qmtl/service-kit";
import type { DagStore } from "../dag-store.ts";
import { queueContext } from "../graph/queue-context.ts";
import type { Leadership } from "../leadership.ts";
import { acquireLeases } from "../leases/acquire-leases.ts";
import { leaseRefs, releaseReason, renewalMessage } from "../leases/lease-messages.ts";
import type { NodeLeases } from "../leases/node-leases.ts";
import { renewLeases } from "../leases/renew-leases.ts";
import { type SessionRights, sessionOf } from "../leases/session-rights.ts";
import { listQueuesByTag } from "../queues/list-queues.ts";
import { listQueueStats } from "../queues/queue-stats.ts";
import { getSnapshots, putSnapshots } from "../queues/snapshots.ts";
import {
  advanceFeeds,
  createReplayRunner,
  deleteReplayRunner,
  listFeeds,
} from "../replay/replay.ts";
import type { ContextSwaps } from "../swap/context-swaps.ts";

export interface QueuePorts {
  readonly store: DagStore;
  readonly nodeLeases: NodeLeases;
  readonly swaps: ContextSwaps;
  readonly timers: QueueTimers;
  readonly rights: SessionRights;
  readonly leadership: Leadership;
}

/** Who computes what, feeds, and changes of context. */
export function queueHandlers(ports: QueuePorts): ServedService {
  return serve(QueueService, {
    ...reads(ports),
    ...leases(ports),
    ...replay(ports),
    ...swaps(ports),
  });
}

function reads({ store, nodeLeases }: QueuePorts): Handlers<typeof QueueService> {
  return {
    listQueuesByTag: (request) => listQueuesByTag(store, request),
    listQueueStats: (request) => listQueueStats(store, nodeLeases, request),
    getSnapshots: (request) => getSnapshots(store, request.computeKeys),
    listFeeds: (request) => listFeeds(store, request),
  };
}

function leases(ports: QueuePorts): Handlers<typeof QueueService> {
  const { store, nodeLeases, rights, leadership } = ports;
  return {
    async acquireLeases(request, context) {
      leadership.mustLead();
      return acquireLeases(ports, request, sessionOf(context), context.signal);
    },
    async renewLeases(request, context) {
      leadership.mustLead();
      const renewals = await renewLeases(ports, leaseRefs(request.leases), sessionOf(context));
      return {
        serverTime: timestampFromMs(store.clock.nowMs()),
        renewals: renewals.map((one, at) => renewalMessage(request.leases[at]!, one)),
      };
    },
    async releaseLeases(request, context) {
      leadership.mustLead();
      const { sessionId } = sessionOf(context);
      await nodeLeases.release(sessionId, leaseRefs(request.leases), releaseReason(request.reason));
      return {};
    },
    async putSnapshots({ snapshots }, context) {
      leadership.mustLead();
      const scope = sessionOf(context);
      const keys = snapshots.map(({ computeKey }) => computeKey);
      await rights.check(scope, keys);
      mustHold(nodeLeases, keys, scope.sessionId);
      return putSnapshots(store, snapshots);
    },
  };
}

function replay({ store, swaps, leadership }: QueuePorts): Handlers<typeof QueueService> {
  return {
    async advanceFeed(request) {
      leadership.mustLead();
      return advanceFeeds(store, request);
    },
    async createReplayRunner(request, context) {
      leadership.mustLead();
      return createReplayRunner(store, sessionOf(context), request.sources);
    },
    async deleteReplayRunner(request, context) {
      leadership.mustLead();
      await swaps.lose(await deleteReplayRunner(store, request, context));
      return {};
    },
  };
}

function swaps({ swaps: contextSwaps, leadership }: QueuePorts): Handlers<typeof QueueService> {
  return {
    async openContext(request, { signal }) {
      leadership.mustLead();
      const to = queueContext(request.context!, "context");
      const waitMs = request.wait === undefined ? 0 : durationMs(request.wait);
      return contextSwaps.open(request.strategyId, to, waitMs, signal);
    },
    async closeContext({ strategyId, worldId }) {
      leadership.mustLead();
      return { closed: await contextSwaps.close(strategyId, worldId) };
    },
    async answerSwap(request, context) {
      leadership.mustLead();
      return { swap: await contextSwaps.answer(sessionOf(context), request.answer!) };
    },
  };
}

/** @throws {QmtlError} LEASE_LOST naming the first key that the session does not hold. */
function mustHold(nodeLeases: NodeLeases, computeKeys: readonly string[], sessionId: string): void {
  const lost = computeKeys.find((key) => !nodeLeases.isHolder(key, sessionId));
  if (lost === undefined) return;
  throw new QmtlError("LEASE_LOST", `the session does not hold ${lost}`, {
    metadata: { compute_key: lost },
  });
}
