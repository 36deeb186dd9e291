import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import {
  type Heartbeat as HeartbeatMessage,
  type HeartbeatReply as HeartbeatReplyMessage,
  HeartbeatSchema,
  NackReason as NackReasonCode,
  RefuseReason,
} from "@qmtl/contracts/qmtl/control/v1/session_pb";
import type { NackRequestSchema } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import type { Heartbeat, HeartbeatReply, LeaseRefusal, Nack, NackReason } from "@qmtl/core/gate";

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
  [RefuseReason.WORLD_NOT_FOUND]: "NOT_ACTIVE",
};

const nackReasons = {
  GAP: NackReasonCode.GAP,
  HASH_MISMATCH: NackReasonCode.HASH_MISMATCH,
  UNDECODABLE: NackReasonCode.UNDECODABLE,
  UNSPECIFIED_ENUM: NackReasonCode.UNDECODABLE,
} as const satisfies Record<NackReason, NackReasonCode>;

/** A Nack of a gate event as a request, under a ticket of its session and world. */
export function nackToProto(
  nack: Nack,
  ticket: string,
): MessageInitShape<typeof NackRequestSchema> {
  return {
    ticket,
    nack: {
      heartbeatSeq: BigInt(nack.heartbeatSeq),
      revision: BigInt(nack.revision),
      fence: BigInt(nack.fence),
      runId: nack.runId ?? "",
      reason: nackReasons[nack.reason],
      lastGoodRevision: BigInt(nack.lastGoodRevision),
    },
  };
}

/** A heartbeat on the wire; one that releases the session's leases requests none. */
export function heartbeatToProto(
  heartbeat: Heartbeat,
  { release }: { readonly release: boolean },
): HeartbeatMessage {
  return create(HeartbeatSchema, {
    heartbeatSeq: BigInt(heartbeat.heartbeatSeq),
    storeEpoch: BigInt(heartbeat.storeEpoch),
    revision: BigInt(heartbeat.revision),
    fence: BigInt(heartbeat.fence),
    stateHash: heartbeat.stateHash,
    gateShut: heartbeat.gateShut,
    inFlight: heartbeat.inFlight,
    wantLease: heartbeat.wantLease && !release,
    lateWrites: heartbeat.lateWrites,
    release,
  });
}

/** The reply to a session's heartbeat, as an input of its state machine. An unknown refusal becomes NOT_ACTIVE. */
export function replyFromProto(message: HeartbeatReplyMessage, sessionId: string): HeartbeatReply {
  const base = {
    sessionId,
    heartbeatSeq: Number(message.heartbeatSeq),
    fence: Number(message.fence),
    requiredRevision: Number(message.requiredRevision),
  };
  const emitters = message.emitters.filter((one) => one.sessionId !== "");
  const emitterFor = new Map(emitters.map((one) => [one.strategyId, one.sessionId]));
  if (!message.granted) {
    const refusal = refusals[message.refuseReason] ?? "NOT_ACTIVE";
    const told = emitterFor.size === 0 ? {} : { emitterFor };
    return { ...base, granted: false, refusal, ...told };
  }
  return {
    ...base,
    granted: true,
    leaseId: message.leaseId,
    emitterFor,
    leaseMs: msOf(message.lease),
    marginMs: msOf(message.margin),
    emitMaxMs: message.emitMax === undefined ? emitMaxMsUnstated : durationMs(message.emitMax),
    decisionRemainingMs: msOf(message.decisionRemaining),
  };
}

/** True if WorldService does not know the world: it was deleted, or the store was replaced by another. */
export function isWorldGone({ granted, refuseReason }: HeartbeatReplyMessage): boolean {
  return !granted && refuseReason === RefuseReason.WORLD_NOT_FOUND;
}

/**
 * Longest pause between check and write, milliseconds, where WorldService states none; its margin allows for the same.
 */
const emitMaxMsUnstated = 300;

/** Milliseconds of a duration; 0 if it is not stated. */
function msOf(duration: Duration | undefined): number {
  return duration === undefined ? 0 : durationMs(duration);
}
