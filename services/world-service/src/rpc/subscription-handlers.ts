import { create } from "@bufbuild/protobuf";
import {
  type Heartbeat as HeartbeatMessage,
  type HeartbeatReply as HeartbeatReplyMessage,
  HeartbeatReplySchema,
  RefuseReason,
} from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import type { SubscriptionService } from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import type { Heartbeat, HeartbeatReply, LeaseRefusal, NackReason } from "@qmtl/sdk/gate";
import { hasReason } from "@qmtl/sdk/rpc";
import { type Handlers, requireRole } from "@qmtl/service-kit";
import type { SessionClaim } from "../apply/index.ts";
import type { WorldActor } from "../world/world-actor.ts";
import type { Worlds } from "../world/worlds.ts";

const REFUSALS = {
  FROZEN: RefuseReason.FROZEN,
  BEHIND: RefuseReason.BEHIND,
  HASH_MISMATCH: RefuseReason.HASH_MISMATCH,
  DECISION_EXPIRED: RefuseReason.DECISION_EXPIRED,
  NOT_ACTIVE: RefuseReason.NOT_ACTIVE,
  NOT_LEADER: RefuseReason.NOT_LEADER,
  EXCLUDED: RefuseReason.EXCLUDED,
  NOT_EMITTER: RefuseReason.NOT_EMITTER,
} as const satisfies Record<LeaseRefusal, RefuseReason>;

const NACKS: ReadonlyMap<string, NackReason> = new Map([
  ["gap", "GAP"],
  ["hash_mismatch", "HASH_MISMATCH"],
  ["undecodable", "UNDECODABLE"],
  ["other", "UNDECODABLE"],
]);

/** SubscriptionService on the wire. Called by gateways; an owner on loopback without keys passes as well. */
export function subscriptionHandlers(worlds: Worlds): Handlers<typeof SubscriptionService> {
  return {
    renewLeases: async ({ heartbeats }, context) => {
      requireRole(context, "gateway", "owner");
      const replies = heartbeats.map((heartbeat) => answer(worlds, heartbeat));
      return { replies: await Promise.all(replies) };
    },
    nack: async (request, context) => {
      requireRole(context, "gateway", "owner");
      const actor = worlds.get(request.worldId);
      const known = actor.claimOf(request.sessionId);
      const kind = request.orderCapable ? "sdk" : "observer";
      const claim = known ?? { sessionId: request.sessionId, kind, scope: [] };
      const reason = NACKS.get(request.reason.toLowerCase()) ?? "UNDECODABLE";
      const { sessionId, runId } = request;
      actor.nack(request.orderCapable ? claim : { ...claim, kind: "observer" }, {
        sessionId,
        heartbeatSeq: Number(request.heartbeatSeq),
        revision: Number(request.revision),
        fence: Number(request.fence),
        runId: runId === "" ? null : runId,
        reason,
        lastGoodRevision: Number(request.lastGoodRevision),
      });
      return {};
    },
  };
}

async function answer(worlds: Worlds, message: HeartbeatMessage): Promise<HeartbeatReplyMessage> {
  const actor = worlds.find(message.worldId);
  if (actor === undefined) return refused(message, RefuseReason.NOT_ACTIVE);
  try {
    const reply = await actor.heartbeat(claimFromProto(message), heartbeatFromProto(message));
    return replyToProto(actor, message, reply);
  } catch (error) {
    if (hasReason(error, "NOT_LEADER", "OUTCOME_UNKNOWN", "STORE_UNAVAILABLE")) {
      return refused(message, RefuseReason.NOT_LEADER);
    }
    throw error;
  }
}

function claimFromProto(message: HeartbeatMessage): SessionClaim {
  const { sessionId, strategyIds } = message;
  if (!message.orderCapable) return { sessionId, kind: "observer", scope: strategyIds };
  return message.door
    ? { sessionId, kind: "door", scope: "*" }
    : { sessionId, kind: "sdk", scope: strategyIds };
}

function heartbeatFromProto(message: HeartbeatMessage): Heartbeat {
  return {
    sessionId: message.sessionId,
    worldId: message.worldId,
    heartbeatSeq: Number(message.heartbeatSeq),
    storeEpoch: Number(message.storeEpoch),
    revision: Number(message.revision),
    fence: Number(message.fence),
    stateHash: message.stateHash,
    gateShut: message.gateShut,
    inFlight: message.inFlight,
    wantLease: message.wantLease && !message.release,
    lateWrites: message.lateWrites,
  };
}

function replyToProto(
  actor: WorldActor,
  message: HeartbeatMessage,
  reply: HeartbeatReply,
): HeartbeatReplyMessage {
  const { renewMs, marginMs } = actor.timers;
  const base = {
    sessionId: reply.sessionId,
    heartbeatSeq: BigInt(reply.heartbeatSeq),
    fence: BigInt(reply.fence),
    requiredRevision: BigInt(reply.requiredRevision),
    renewMs,
  };
  if (!reply.granted) {
    const isUnasked = !message.wantLease && reply.refusal === "NOT_ACTIVE";
    const refuseReason = isUnasked ? RefuseReason.NOT_ASKED : REFUSALS[reply.refusal];
    return create(HeartbeatReplySchema, { ...base, marginMs, refuseReason });
  }
  return create(HeartbeatReplySchema, {
    ...base,
    granted: true,
    leaseId: reply.leaseId,
    emitters: [...reply.emitterFor].map(([strategyId, sessionId]) => ({ strategyId, sessionId })),
    leaseMs: reply.leaseMs,
    marginMs: reply.marginMs,
    decisionRemainingMs: Math.floor(reply.decisionRemainingMs),
  });
}

function refused(message: HeartbeatMessage, refuseReason: RefuseReason): HeartbeatReplyMessage {
  const { sessionId, heartbeatSeq } = message;
  return create(HeartbeatReplySchema, { sessionId, heartbeatSeq, refuseReason });
}
