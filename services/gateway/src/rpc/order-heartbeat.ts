import type {
  Heartbeat as HeartbeatMessage,
  HeartbeatReply as HeartbeatReplyMessage,
} from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import type { Heartbeat } from "@qmtl/sdk/gate";
import { heartbeatToProto, replyFromProto } from "@qmtl/sdk/rpc";
import type { DoorReply } from "../router/door.ts";

/** A heartbeat of the door on the wire. */
export function doorHeartbeat(heartbeat: Heartbeat, release: boolean): HeartbeatMessage {
  return heartbeatToProto(heartbeat, { door: true, release });
}

/** The answer to it, with the pace to renew at. */
export function doorReplyFrom(message: HeartbeatReplyMessage): DoorReply {
  const { renewMs, leaseMs } = message;
  return { renewMs, leaseMs, reply: replyFromProto(message) };
}
