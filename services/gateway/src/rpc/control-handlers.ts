import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ControlStreamService,
  type HeartbeatRequest,
  type IssueTicketRequest,
  type NackRequest,
  type SubscribeRequest,
  TicketPurpose,
} from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { SubscriptionService } from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import {
  type CallContext,
  type CallPrincipal,
  type EncodedMessage,
  type Handlers,
  requireRole,
} from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import { checkHeartbeat, refuseScope } from "../control/check-heartbeat.ts";
import type { ControlHub } from "../control/control-hub.ts";
import type { Tickets } from "../control/tickets.ts";
import { parseTopics, topicKeysOf } from "../control/topic-keys.ts";
import type { FeedDesk } from "../feed/feed-desk.ts";
import type { Peer } from "../peers/peer.ts";
import type { GateView, LeaseRelay, TicketClaims } from "../ports.ts";
import { submissionsOf } from "../store/submission-store.ts";

export interface ControlPorts {
  readonly db: Db;
  readonly hub: ControlHub;
  readonly gates: GateView;
  readonly tickets: Tickets;
  readonly leases: LeaseRelay;
  readonly feeds: FeedDesk;
  readonly world: Peer;
  readonly gateway: CallPrincipal;
  readonly newId: () => string;
}

/** The control stream: tickets, events, heartbeats. */
export function controlHandlers(ports: ControlPorts): Handlers<typeof ControlStreamService> {
  const { tickets, hub } = ports;
  return {
    issueTicket: (request, context) => issueTicket(ports, request, context),
    subscribe: (request, context) => subscribe(ports, request, context),
    heartbeat: (request) => heartbeat(ports, request),
    nack: (request) => nack(ports, request),
    async refreshTicket({ ticket }) {
      const issued = await tickets.issue(tickets.verify(ticket));
      return { ticket: issued.ticket, expireTime: timestampFromMs(issued.expireMs) };
    },
    getSigningKeys: async () => ({ jwksJson: tickets.jwksJson() }),
    async getStateHash({ topicKey }) {
      const { revision, stateHash } = await hub.stateHash(topicKey);
      return { revision: BigInt(revision), stateHash };
    },
  };
}

async function issueTicket(ports: ControlPorts, request: IssueTicketRequest, context: CallContext) {
  const { worldId, strategyIds } = request;
  const isGate = request.purpose === TicketPurpose.GATE;
  if (isGate) {
    requireRole(context, "owner", "operator");
    if (strategyIds.length === 0) {
      const fields = [{ field: "strategy_ids", description: "a gate ticket names its strategies" }];
      throw new QmtlError("INVALID_FIELD", "strategy_ids is empty", { fields });
    }
  }
  const topics = parseTopics(request.topics);
  await ports.gates.ensure(worldId);
  const sessionId = request.sessionId === "" ? ports.newId() : request.sessionId;
  const purpose = isGate ? "gate" : "observe";
  const principal = context.principal.name;
  const { ticket, expireMs } = await ports.tickets.issue({
    sessionId,
    worldId,
    strategyIds,
    topics,
    purpose,
    principal,
  });
  const topicKeys = await keysOf(ports, { worldId, strategyIds, topics });
  return { ticket, sessionId, expireTime: timestampFromMs(expireMs), topicKeys };
}

async function keysOf(
  ports: ControlPorts,
  claims: Pick<TicketClaims, "worldId" | "strategyIds" | "topics">,
): Promise<string[]> {
  const topics = parseTopics(claims.topics);
  const wanted = topics.includes("submission") ? claims.strategyIds : [];
  const submissions = wanted.length === 0 ? [] : await submissionsOf(ports.db, wanted);
  return topicKeysOf(
    claims.worldId,
    topics,
    submissions.map(({ submissionId }) => submissionId),
  );
}

async function* subscribe(
  ports: ControlPorts,
  request: SubscribeRequest,
  context: CallContext,
): AsyncGenerator<EncodedMessage> {
  const { claims, expireMs } = ports.tickets.check(request.ticket);
  const topicKeys = await keysOf(ports, claims);
  const applied = new Map(
    request.lastApplied
      .filter(({ topicKey, revision }) => topicKeys.includes(topicKey) && revision > 0n)
      .map(({ topicKey, revision, storeEpoch }) => [
        topicKey,
        { revision: Number(revision), storeEpoch: Number(storeEpoch) },
      ]),
  );
  const version = context.schemaVersion ?? 1;
  yield* ports.hub.subscribe({ topicKeys, applied, version, expireMs, signal: context.signal });
}

async function heartbeat(ports: ControlPorts, request: HeartbeatRequest) {
  const claims = ports.tickets.verify(request.ticket);
  const beat = request.heartbeat!;
  checkHeartbeat(claims, beat);
  // It proves that the runner is alive, whatever WorldService says.
  ports.feeds.heard(beat.sessionId);
  return { reply: await ports.leases.renew(beat) };
}

async function nack(ports: ControlPorts, request: NackRequest) {
  const claims = ports.tickets.verify(request.ticket);
  if (claims.sessionId !== request.sessionId) refuseScope("session_id");
  if (claims.worldId !== request.worldId) refuseScope("world_id");
  const { $typeName: _, schemaVersion: __, ticket: ___, ...told } = request;
  await ports.world.unary(
    SubscriptionService.method.nack,
    { ...told, orderCapable: claims.purpose === "gate" },
    { principal: ports.gateway, timeoutMs: 2_000 },
  );
  return {};
}
