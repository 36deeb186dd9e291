import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Heartbeat as HeartbeatMessage,
  type HeartbeatReply as HeartbeatReplyMessage,
  HeartbeatReplySchema,
  type Nack as NackMessage,
  NackReason as NackReasonCode,
  RefuseReason,
} from "@qmtl/contracts/qmtl/control/v1/session_pb";
import {
  type RelayedHeartbeat,
  type SessionClaim as SessionClaimMessage,
  SessionKind,
  type SubscriptionService,
} from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import type { Heartbeat, HeartbeatReply, LeaseRefusal, Nack, NackReason } from "@qmtl/core/gate";
import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import { type Handlers, originFromProto } from "@qmtl/service-kit";
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

const NACKS: Readonly<Record<number, NackReason>> = {
  [NackReasonCode.GAP]: "GAP",
  [NackReasonCode.HASH_MISMATCH]: "HASH_MISMATCH",
  [NackReasonCode.UNDECODABLE]: "UNDECODABLE",
  [NackReasonCode.OTHER]: "UNDECODABLE",
};

/** Handlers of SubscriptionService. Called by gateways, which have read the claims from the sessions' tickets. */
export function subscriptionHandlers(worlds: Worlds): Handlers<typeof SubscriptionService> {
  return {
    relayHeartbeats: async ({ heartbeats }) => {
      return { replies: await Promise.all(heartbeats.map((each) => answer(worlds, each))) };
    },
    relayNack: async (request) => {
      const claim = claimFromProto(request.claim!);
      worlds.get(request.claim!.worldId).nack(claim, nackFromProto(claim.sessionId, request.nack!));
      return {};
    },
  };
}

async function answer(worlds: Worlds, relayed: RelayedHeartbeat): Promise<HeartbeatReplyMessage> {
  const claim = relayed.claim!;
  const message = relayed.heartbeat!;
  const actor = worlds.find(claim.worldId);
  if (actor === undefined) return refused(message, RefuseReason.WORLD_NOT_FOUND);
  try {
    const reply = await actor.heartbeat(claimFromProto(claim), heartbeatFromProto(claim, message));
    return replyToProto(actor, message, reply);
  } catch (error) {
    if (hasReason(error, "NOT_LEADER", "OUTCOME_UNKNOWN", "STORE_UNAVAILABLE")) {
      return refused(message, RefuseReason.NOT_LEADER);
    }
    throw error;
  }
}

/** The claim as the gate machine takes it. A router's lease is for the whole world. */
function claimFromProto(message: SessionClaimMessage): SessionClaim {
  const { sessionId, kind, strategyIds } = message;
  const origin = originFromProto(message.origin);
  const session = { sessionId, ...(origin === undefined ? {} : { origin }) };
  switch (kind) {
    case SessionKind.OBSERVER:
      // A ticket that names no strategy watches all of them.
      return { ...session, kind: "observer", scope: strategyIds.length === 0 ? "*" : strategyIds };
    case SessionKind.TRADER:
      return { ...session, kind: "sdk", scope: strategyIds };
    case SessionKind.ROUTER:
      return { ...session, kind: "router", scope: "*" };
    default: {
      const fields = [{ field: "claim.kind", description: "is not known" }];
      throw new QmtlError("INVALID_FIELD", "the kind of the session is not known", { fields });
    }
  }
}

function nackFromProto(sessionId: string, message: NackMessage): Nack {
  const { runId, reason } = message;
  return {
    sessionId,
    heartbeatSeq: Number(message.heartbeatSeq),
    revision: Number(message.revision),
    fence: Number(message.fence),
    runId: runId === "" ? null : runId,
    // An unknown reason was refused before it came here.
    reason: NACKS[reason] ?? "UNDECODABLE",
    lastGoodRevision: Number(message.lastGoodRevision),
  };
}

function heartbeatFromProto(
  { sessionId, worldId }: SessionClaimMessage,
  message: HeartbeatMessage,
): Heartbeat {
  return {
    sessionId,
    worldId,
    heartbeatSeq: Number(message.heartbeatSeq),
    storeEpoch: Number(message.storeEpoch),
    revision: Number(message.revision),
    fence: Number(message.fence),
    stateHash: message.stateHash,
    gateShut: message.gateShut,
    inFlight: message.inFlight,
    wantLease: message.wantLease && !message.release,
    lateWrites: message.lateWrites,
    release: message.release,
  };
}

function replyToProto(
  actor: WorldActor,
  message: HeartbeatMessage,
  reply: HeartbeatReply,
): HeartbeatReplyMessage {
  const { renewMs, marginMs } = actor.timers;
  const base = {
    heartbeatSeq: BigInt(reply.heartbeatSeq),
    fence: BigInt(reply.fence),
    requiredRevision: BigInt(reply.requiredRevision),
    renewInterval: durationFromMs(renewMs),
    margin: durationFromMs(marginMs),
  };
  if (!reply.granted) {
    const isUnasked = !message.wantLease && reply.refusal === "NOT_ACTIVE";
    const refuseReason = isUnasked ? RefuseReason.NOT_ASKED : REFUSALS[reply.refusal];
    const emitters = emittersOf(reply.emitterFor ?? new Map());
    return create(HeartbeatReplySchema, { ...base, refuseReason, emitters });
  }
  return create(HeartbeatReplySchema, {
    ...base,
    granted: true,
    leaseId: reply.leaseId,
    emitters: emittersOf(reply.emitterFor),
    lease: durationFromMs(reply.leaseMs),
    margin: durationFromMs(reply.marginMs),
    emitMax: durationFromMs(reply.emitMaxMs),
    decisionRemaining: durationFromMs(Math.max(0, Math.floor(reply.decisionRemainingMs))),
  });
}

function emittersOf(emitterFor: ReadonlyMap<string, string>) {
  return [...emitterFor].map(([strategyId, sessionId]) => ({ strategyId, sessionId }));
}

function refused(message: HeartbeatMessage, refuseReason: RefuseReason): HeartbeatReplyMessage {
  const { heartbeatSeq } = message;
  return create(HeartbeatReplySchema, { heartbeatSeq, refuseReason });
}
