import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type LeaseRef,
  type LeaseRenewalSchema,
  QueueService,
  ReleaseReason,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { QueueTimers } from "@qmtl/core/queues";
import { QmtlError } from "@qmtl/sdk/rpc";
import {
  type Handlers,
  type LeadershipTracker,
  type ServedService,
  type SessionScope,
  serve,
} from "@qmtl/service-kit";
import { queueContext } from "../graph/queue-context.ts";
import { acquireLeases } from "../leases/acquire-leases.ts";
import type { GrantedLease, NodeLeases } from "../leases/node-leases.ts";
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
import type { DagStore } from "../store/dag-store.ts";
import type { ContextSwaps } from "../swap/context-swaps.ts";

interface QueuePorts {
  readonly store: DagStore;
  readonly nodeLeases: NodeLeases;
  readonly swaps: ContextSwaps;
  readonly timers: QueueTimers;
  readonly rights: SessionRights;
  readonly leader: LeadershipTracker;
}

/** Serves QueueService: queues and their statistics, node leases, snapshots, replay feeds and context swaps. */
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
  const { store, nodeLeases, rights, leader } = ports;
  return {
    async acquireLeases(request, context) {
      leader.mustLead();
      return acquireLeases(ports, request, sessionOf(context), context.signal);
    },
    async renewLeases(request, context) {
      leader.mustLead();
      const renewals = await renewLeases(ports, leaseRefs(request.leases), sessionOf(context));
      return {
        serverTime: timestampFromMs(store.clock.nowMs()),
        renewals: renewals.map((one, at) => renewalMessage(request.leases[at]!, one)),
      };
    },
    async releaseLeases(request, context) {
      leader.mustLead();
      const { sessionId } = sessionOf(context);
      await nodeLeases.release(sessionId, leaseRefs(request.leases), releaseReason(request.reason));
      return {};
    },
    async putSnapshots({ snapshots }, context) {
      leader.mustLead();
      const scope = sessionOf(context);
      const keys = snapshots.map(({ computeKey }) => computeKey);
      await rights.check(scope, keys);
      mustHold(nodeLeases, keys, scope.sessionId);
      return putSnapshots(store, snapshots);
    },
  };
}

function replay({ store, swaps, leader }: QueuePorts): Handlers<typeof QueueService> {
  return {
    async advanceFeed(request) {
      leader.mustLead();
      return advanceFeeds(store, request);
    },
    async createReplayRunner(request, context) {
      leader.mustLead();
      const session = sessionOf(context);
      const answer = await createReplayRunner(store, session, request.sources);
      await swaps.loseUncovered(session);
      return answer;
    },
    async deleteReplayRunner(request, context) {
      leader.mustLead();
      await swaps.lose(await deleteReplayRunner(store, request, context));
      return {};
    },
  };
}

function swaps({ swaps: contextSwaps, leader }: QueuePorts): Handlers<typeof QueueService> {
  return {
    async openContext(request, { signal }) {
      leader.mustLead();
      const to = queueContext(request.context!, "context");
      const waitMs = request.wait === undefined ? 0 : durationMs(request.wait);
      return contextSwaps.open(request.strategyId, to, waitMs, signal);
    },
    async closeContext({ strategyId, worldId }) {
      leader.mustLead();
      return { closed: await contextSwaps.close(strategyId, worldId) };
    },
    async answerSwap(request, context) {
      leader.mustLead();
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

/** References to leases, with their epochs as numbers. */
function leaseRefs(refs: readonly LeaseRef[]): GrantedLease[] {
  return refs.map(({ computeKey, leaseEpoch }) => ({ computeKey, epoch: Number(leaseEpoch) }));
}

function renewalMessage(
  ref: LeaseRef,
  renewal: { readonly isRenewed: boolean; readonly currentEpoch: number },
): MessageInitShape<typeof LeaseRenewalSchema> {
  const { isRenewed, currentEpoch } = renewal;
  return { computeKey: ref.computeKey, renewed: isRenewed, currentEpoch: BigInt(currentEpoch) };
}

/** Why leases are given up: a clean end, or a divergence, which excludes the holder's build. */
function releaseReason(reason: ReleaseReason): "clean" | "diverged" {
  switch (reason) {
    case ReleaseReason.STOP:
      return "clean";
    case ReleaseReason.DIVERGED:
      return "diverged";
    default:
      throw new Error(`a release without a known reason: ${reason}`);
  }
}

/** Renews the leases of a session for one lease duration from now. One that its ticket no longer covers is lost. */
async function renewLeases(
  { nodeLeases, rights }: { readonly nodeLeases: NodeLeases; readonly rights: SessionRights },
  leases: readonly GrantedLease[],
  scope: SessionScope,
): Promise<ReturnType<NodeLeases["renew"]>> {
  const keys = leases.map(({ computeKey }) => computeKey);
  const covered = await rights.covered(scope, keys);
  const own = leases.filter(({ computeKey }) => covered.has(computeKey));
  const renewals = nodeLeases.renew(scope.sessionId, own).values();
  return leases.map(({ computeKey }) => {
    const renewal = covered.has(computeKey) ? renewals.next().value : undefined;
    return renewal ?? { isRenewed: false, currentEpoch: nodeLeases.row(computeKey).epoch };
  });
}
