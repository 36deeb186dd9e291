import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Topic } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import {
  type Heartbeat,
  type HeartbeatReply,
  RefuseReason,
} from "@qmtl/contracts/qmtl/control/v1/session_pb";
import type {
  ControlStreamService,
  HeartbeatRequest,
  IssueTicketRequest,
  NackRequest,
  SubscribeRequest,
} from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import {
  type SessionClaimSchema,
  SessionKind,
  SubscriptionService,
} from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import {
  type CallContext,
  type EncodedMessage,
  type Handlers,
  originField,
  originFromProto,
  type SessionOrigin,
  type SessionScope,
  type TicketRightName,
} from "@qmtl/service-kit";
import {
  feedTopicKey,
  haltTopicKey,
  submissionTopicKey,
  type TopicName,
  tagTopicKey,
  worldTopicKey,
} from "@qmtl/service-kit/control";
import type { ControlHub } from "../control/control-hub.ts";
import { issueTicket, refreshTicket, type TicketPorts } from "../control/issue-ticket.ts";
import type { ReplayFeeds } from "../feed/replay-feeds.ts";
import type { ClaimedHeartbeat, LeaseRelay, RunListener, TicketClaims } from "../ports.ts";
import { submissionsOf } from "../store/submission-store.ts";

interface ControlPorts extends TicketPorts {
  readonly hub: ControlHub;
  readonly leases: LeaseRelay;
  readonly feeds: ReplayFeeds;
  readonly runs: Pick<RunListener, "heard" | "ended">;
}

const RIGHTS: ReadonlyMap<TicketRight, TicketRightName> = new Map([
  [TicketRight.OBSERVE, "observe"],
  [TicketRight.COMPUTE, "compute"],
  [TicketRight.TRADE, "trade"],
  [TicketRight.FEED, "feed"],
]);

/** The control stream: tickets, events, heartbeats. The server has checked the ticket of the call. */
export function controlHandlers(ports: ControlPorts): Handlers<typeof ControlStreamService> {
  const { tickets, hub } = ports;
  return {
    issueTicket: (request, context) => issue(ports, request, context),
    subscribe: (request, context) => subscribe(ports, request, context),
    heartbeat: (request, context) => heartbeat(ports, request, context),
    nack: (request, context) => nack(ports, request, context),
    async refreshTicket(request, context) {
      const { ticket, expireMs } = await refreshTicket(ports, request.ticket, context);
      return { ticket, expireTime: timestampFromMs(expireMs) };
    },
    getSigningKeys: async () => ({ jwksJson: tickets.jwksJson() }),
    async getStateHash({ topicKey }) {
      const { storeEpoch, revision, stateHash } = await hub.stateHash(topicKey);
      return { storeEpoch, revision, stateHash };
    },
  };
}

async function issue(ports: ControlPorts, request: IssueTicketRequest, context: CallContext) {
  const { worldId, strategyIds, sources, sessionId } = request;
  const rights = request.rights.flatMap((right) => RIGHTS.get(right) ?? []);
  const topics = topicsFromProto(request.topics);
  const origin = originFromProto(request.origin);
  const wanted = { worldId, strategyIds, sources, rights, topics, sessionId, origin };
  const { claims, ticket, expireMs } = await issueTicket(ports, wanted, context);
  return {
    ticket,
    sessionId: claims.sessionId,
    expireTime: timestampFromMs(expireMs),
    topicKeys: await keysOf(ports, claims),
  };
}

async function keysOf(ports: ControlPorts, claims: TicketClaims): Promise<string[]> {
  const { worldId, topics, strategyIds, sources } = claims;
  const wanted = topics.includes("submission") ? strategyIds : [];
  const submissions = wanted.length === 0 ? [] : await submissionsOf(ports.db, wanted);
  const submissionIds = submissions.map(({ submissionId }) => submissionId);
  return topicKeysOf({ worldId, topics, submissionIds, sources });
}

async function* subscribe(
  ports: ControlPorts,
  request: SubscribeRequest,
  context: CallContext,
): AsyncGenerator<EncodedMessage> {
  const { claims, expireMs } = ports.tickets.check(request.ticket, context.principal);
  const topicKeys = await keysOf(ports, claims);
  const applied = new Map(
    request.lastApplied
      .filter(({ topicKey, revision }) => topicKeys.includes(topicKey) && revision > 0n)
      .map(({ topicKey, revision, storeEpoch }) => [
        topicKey,
        { revision: Number(revision), storeEpoch: Number(storeEpoch) },
      ]),
  );
  const { strategyIds } = claims;
  const version = context.schemaVersion ?? 1;
  const { signal } = context;
  yield* ports.hub.subscribe({ topicKeys, applied, strategyIds, version, expireMs, signal });
}

async function heartbeat(ports: ControlPorts, request: HeartbeatRequest, context: CallContext) {
  const session = worldSessionOf(context);
  // It proves that the runner is alive, whatever WorldService says.
  ports.feeds.heard(session.sessionId);
  const { heartbeat: beat } = request;
  if (beat!.release) ports.runs.ended(session.sessionId);
  else ports.runs.heard(session);
  if (beat!.wantLease && !session.rights.includes("trade")) {
    const metadata = { required: "trade", rights: session.rights.join(",") };
    const fields = [{ field: "heartbeat.want_lease", description: "needs the right TRADE" }];
    const message = "the ticket does not carry TRADE, so it gets no order lease";
    throw new QmtlError("TICKET_SCOPE", message, { metadata, fields });
  }
  const { origin } = ports.tickets.verify(request.ticket);
  const claim = claimToProto(session, origin);
  const reply = await renewed(ports, session, { claim, heartbeat: beat! });
  return { reply, unregisteredSources: ports.feeds.unregistered(session.sessionId) };
}

/** Refusals that a session gets again until something else changes: it need not be waited for. */
const finalRefusals: ReadonlySet<RefuseReason> = new Set([
  RefuseReason.DECISION_EXPIRED,
  RefuseReason.NOT_ACTIVE,
  RefuseReason.EXCLUDED,
  RefuseReason.NOT_EMITTER,
  RefuseReason.NOT_ASKED,
  RefuseReason.WORLD_NOT_FOUND,
]);

/** Relays a heartbeat. After a gate has opened, the replay feeds wait until each of its sessions has its answer. */
async function renewed(
  { leases, feeds, gates }: ControlPorts,
  { sessionId, worldId }: SessionScope,
  claimed: ClaimedHeartbeat & { readonly heartbeat: Heartbeat },
): Promise<HeartbeatReply> {
  // A reply to a session that has not applied the gate as it is now says nothing.
  const isCurrent = () => claimed.heartbeat.revision >= (gates.state(worldId)?.revision ?? 0n);
  try {
    const reply = await leases.renew(claimed);
    const isFinal = finalRefusals.has(reply.refuseReason);
    if (reply.granted && isCurrent()) feeds.leaseGranted(sessionId);
    if (!reply.granted && isFinal && isCurrent()) feeds.leaseRefused(sessionId);
    return reply;
  } catch (failure) {
    if (hasReason(failure, "HALTED") && isCurrent()) feeds.leaseRefused(sessionId);
    throw failure;
  }
}

async function nack(ports: ControlPorts, request: NackRequest, context: CallContext) {
  const session = worldSessionOf(context);
  await ports.world.unary(
    SubscriptionService.method.relayNack,
    { claim: claimToProto(session), nack: request.nack! },
    { principal: ports.gateway, timeoutMs: 2_000 },
  );
  return {};
}

/** The session of a call about a world's gate. @throws {QmtlError} TICKET_SCOPE for a ticket without a world. */
function worldSessionOf({ session }: CallContext): SessionScope {
  if (session !== undefined && session.worldId !== "") return session;
  throw new QmtlError("TICKET_SCOPE", "the ticket covers no world");
}

const NAMES: ReadonlyMap<Topic, TopicName> = new Map([
  [Topic.GATE, "gate"],
  [Topic.POLICY, "policy"],
  [Topic.QUEUE, "queue"],
  [Topic.TAG, "tag"],
  [Topic.ORDER, "order"],
  [Topic.HALT, "halt"],
  [Topic.REBALANCING, "rebalancing"],
  [Topic.SUBMISSION, "submission"],
  [Topic.FEED, "feed"],
]);

/** The topics that were asked for; none means gate and halt. The server has refused values outside the set. */
function topicsFromProto(topics: readonly Topic[]): TopicName[] {
  if (topics.length === 0) return ["gate", "halt"];
  return topics.flatMap((topic) => NAMES.get(topic) ?? []);
}

/** What the topic keys of a ticket are made from. */
interface TopicScope {
  /** Empty: no world, so none of its keys. */
  readonly worldId: string;
  readonly topics: readonly TopicName[];
  readonly submissionIds: readonly string[];
  readonly sources: readonly string[];
}

/** The topic keys a ticket opens. */
function topicKeysOf(scope: TopicScope): string[] {
  const { worldId, submissionIds, sources } = scope;
  return scope.topics.flatMap((topic) => {
    switch (topic) {
      case "tag":
        return [tagTopicKey];
      case "halt":
        return [haltTopicKey];
      case "submission":
        return submissionIds.map(submissionTopicKey);
      case "feed":
        return sources.map(feedTopicKey);
      default:
        return worldId === "" ? [] : [worldTopicKey(worldId, topic)];
    }
  });
}

type ClaimInit = MessageInitShape<typeof SessionClaimSchema>;

/** Who a heartbeat or Nack is from, as the session's ticket says: without TRADE it only observes. */
function claimToProto(session: SessionScope, origin?: SessionOrigin): ClaimInit {
  const { sessionId, worldId, strategyIds, rights } = session;
  const kind = rights.includes("trade") ? SessionKind.TRADER : SessionKind.OBSERVER;
  return { sessionId, worldId, kind, strategyIds: [...strategyIds], ...originField(origin) };
}
