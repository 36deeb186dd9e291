import { durationMs } from "@bufbuild/protobuf/wkt";
import { SessionKind } from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import type { Heartbeat } from "@qmtl/core/gate";
import { heartbeatToProto, isWorldGone, replyFromProto } from "@qmtl/sdk/rpc";
import type { LeaseRelay } from "../../ports.ts";
import type { RouterGateReply, RouterLeases } from "../gate/router-gate.ts";

/**
 * The leases of the router's own sessions, requested as any other session requests them: by heartbeats to WorldService.
 */
export class RelayedLeases implements RouterLeases {
  readonly #relay: LeaseRelay;

  constructor(relay: LeaseRelay) {
    this.#relay = relay;
  }

  async renew(heartbeat: Heartbeat, release: boolean): Promise<RouterGateReply> {
    const { sessionId, worldId } = heartbeat;
    const message = await this.#relay.renew({
      claim: { sessionId, worldId, kind: SessionKind.ROUTER },
      heartbeat: heartbeatToProto(heartbeat, { release }),
    });
    const { renewInterval, lease } = message;
    return {
      renewMs: renewInterval === undefined ? 0 : durationMs(renewInterval),
      leaseMs: lease === undefined ? 0 : durationMs(lease),
      isWorldGone: isWorldGone(message),
      reply: replyFromProto(message, sessionId),
    };
  }

  setStopped(stopped: boolean): void {
    this.#relay.setStopped(stopped);
  }
}
