import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type Heartbeat as HeartbeatMessage,
  type HeartbeatReply as HeartbeatReplyMessage,
  HeartbeatSchema,
  RefuseReason,
} from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import type { NackRequestSchema } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import type { Heartbeat, HeartbeatReply, LeaseRefusal, Nack } from "../gate/index.ts";

const refusals: Readonly<Record<number, LeaseRefusal>> = {
  [RefuseReason.FROZEN]: "FROZEN",
  [RefuseReason.BEHIND]: "BEHIND",
  [RefuseReason.HASH_MISMATCH]: "HASH_MISMATCH",
  [RefuseReason.DECISION_EXPIRED]: "DECISION_EXPIRED",
  [RefuseReason.NOT_ACTIVE]: "NOT_ACTIVE",
  [RefuseReason.NOT_ASKED]: "NOT_ACTIVE",
  [RefuseReason.NOT_LEADER]: "NOT_LEADER",
  [RefuseReason.EXCLUDED]: "EXCLUDED",
  [RefuseReason.NOT_EMITTER]: "NOT_EMITTER",
};

/** What a heartbeat says beside the state of its session. */
export interface HeartbeatSender {
  /** Strategies the session runs; none for a door. */
  readonly strategyIds?: readonly string[];
  /** The sender is the order door of a gateway. */
  readonly door?: boolean;
  /** It gives its leases up, so it asks for none. */
  readonly release: boolean;
}

/** A complaint about a gate event, on the wire, under a ticket of its session and world. */
export function nackToProto(
  nack: Nack,
  { ticket, worldId }: { readonly ticket: string; readonly worldId: string },
): MessageInitShape<typeof NackRequestSchema> {
  return {
    ticket,
    sessionId: nack.sessionId,
    worldId,
    heartbeatSeq: BigInt(nack.heartbeatSeq),
    revision: BigInt(nack.revision),
    fence: BigInt(nack.fence),
    runId: nack.runId ?? "",
    reason: nack.reason.toLowerCase(),
    lastGoodRevision: BigInt(nack.lastGoodRevision),
  };
}

/** A heartbeat of a session that can send orders, on the wire. */
export function heartbeatToProto(
  heartbeat: Heartbeat,
  { strategyIds = [], door = false, release }: HeartbeatSender,
): HeartbeatMessage {
  return create(HeartbeatSchema, {
    sessionId: heartbeat.sessionId,
    incarnation: 1n,
    worldId: heartbeat.worldId,
    heartbeatSeq: BigInt(heartbeat.heartbeatSeq),
    storeEpoch: BigInt(heartbeat.storeEpoch),
    revision: BigInt(heartbeat.revision),
    fence: BigInt(heartbeat.fence),
    stateHash: heartbeat.stateHash,
    gateShut: heartbeat.gateShut,
    inFlight: heartbeat.inFlight,
    wantLease: heartbeat.wantLease && !release,
    lateWrites: heartbeat.lateWrites,
    strategyIds: [...strategyIds],
    orderCapable: true,
    door,
    release,
  });
}

/** The answer as the session machine takes it. An unknown refusal reads as not active. */
export function replyFromProto(message: HeartbeatReplyMessage): HeartbeatReply {
  const base = {
    sessionId: message.sessionId,
    heartbeatSeq: Number(message.heartbeatSeq),
    fence: Number(message.fence),
    requiredRevision: Number(message.requiredRevision),
  };
  if (!message.granted) {
    return { ...base, granted: false, refusal: refusals[message.refuseReason] ?? "NOT_ACTIVE" };
  }
  return {
    ...base,
    granted: true,
    leaseId: message.leaseId,
    emitterFor: new Map(
      message.emitters
        .filter((one) => one.sessionId !== "")
        .map((one) => [one.strategyId, one.sessionId]),
    ),
    leaseMs: message.leaseMs,
    marginMs: message.marginMs,
    decisionRemainingMs: message.decisionRemainingMs,
  };
}
