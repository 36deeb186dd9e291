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

/** A complaint about a gate event, on the wire, under a ticket of its session and world. */
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

/** A heartbeat on the wire; one that gives the session's leases up asks for none. */
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

/** The answer to a session's heartbeat as its machine takes it. An unknown refusal reads as not active. */
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

/** WorldService knows no such world: it was deleted, or its store is another one than before. */
export function isWorldGone({ granted, refuseReason }: HeartbeatReplyMessage): boolean {
  return !granted && refuseReason === RefuseReason.WORLD_NOT_FOUND;
}

/** What a WorldService that states no pause between check and write reckons with, in its margin too. */
const emitMaxMsUnstated = 300;

/** A duration that is not stated gives no time. */
function msOf(duration: Duration | undefined): number {
  return duration === undefined ? 0 : durationMs(duration);
}
