import { durationMs } from "@bufbuild/protobuf/wkt";
import type { HeartbeatReply as HeartbeatReplyMessage } from "@qmtl/contracts/qmtl/control/v1/session_pb";
import type { Heartbeat } from "@qmtl/core/gate";
import { heartbeatToProto, isWorldGone, replyFromProto } from "@qmtl/sdk/rpc";
import type { ClaimedHeartbeat } from "../ports.ts";
import type { RouterGateReply } from "../router/router-gate.ts";
import { routerClaim } from "./session-claim.ts";

/** A heartbeat of the gate on the wire. */
export function doorHeartbeat(heartbeat: Heartbeat, release: boolean): ClaimedHeartbeat {
  const claim = routerClaim(heartbeat.sessionId, heartbeat.worldId);
  return { claim, heartbeat: heartbeatToProto(heartbeat, { release }) };
}

/** The answer to it, with the pace to renew at. */
export function doorReplyFrom(message: HeartbeatReplyMessage, sessionId: string): RouterGateReply {
  const { renewInterval, lease } = message;
  return {
    renewMs: renewInterval === undefined ? 0 : durationMs(renewInterval),
    leaseMs: lease === undefined ? 0 : durationMs(lease),
    isWorldGone: isWorldGone(message),
    reply: replyFromProto(message, sessionId),
  };
}
