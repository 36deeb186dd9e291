import { create } from "@bufbuild/protobuf";
import {
  type Heartbeat as HeartbeatMessage,
  type HeartbeatReply as HeartbeatReplyMessage,
  HeartbeatSchema,
  RefuseReason,
} from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import type { Heartbeat, LeaseRefusal } from "@qmtl/sdk/gate";
import type { DoorReply } from "../router/door.ts";

const REFUSALS: Readonly<Record<number, LeaseRefusal>> = {
  [RefuseReason.FROZEN]: "FROZEN",
  [RefuseReason.BEHIND]: "BEHIND",
  [RefuseReason.HASH_MISMATCH]: "HASH_MISMATCH",
  [RefuseReason.DECISION_EXPIRED]: "DECISION_EXPIRED",
  [RefuseReason.NOT_ACTIVE]: "NOT_ACTIVE",
  [RefuseReason.NOT_LEADER]: "NOT_LEADER",
  [RefuseReason.EXCLUDED]: "EXCLUDED",
  [RefuseReason.NOT_EMITTER]: "NOT_EMITTER",
};

/** A heartbeat of the door on the wire. */
export function doorHeartbeat(heartbeat: Heartbeat, release: boolean): HeartbeatMessage {
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
    wantLease: heartbeat.wantLease,
    lateWrites: heartbeat.lateWrites,
    orderCapable: true,
    door: true,
    release,
  });
}

/** The answer to it, as the session machine takes it. */
export function doorReplyFrom(message: HeartbeatReplyMessage): DoorReply {
  const header = {
    sessionId: message.sessionId,
    heartbeatSeq: Number(message.heartbeatSeq),
    fence: Number(message.fence),
    requiredRevision: Number(message.requiredRevision),
  };
  const pace = { renewMs: message.renewMs, leaseMs: message.leaseMs };
  if (!message.granted) {
    const refusal = REFUSALS[message.refuseReason] ?? "NOT_ACTIVE";
    return { ...pace, reply: { ...header, granted: false, refusal } };
  }
  const emitterFor = new Map(
    message.emitters
      .filter((one) => one.sessionId !== "")
      .map((one) => [one.strategyId, one.sessionId] as const),
  );
  const { leaseId, leaseMs, marginMs, decisionRemainingMs } = message;
  const lease = { leaseId, emitterFor, leaseMs, marginMs, decisionRemainingMs };
  return { ...pace, reply: { ...header, granted: true, ...lease } };
}
