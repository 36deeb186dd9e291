import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { SessionOrigin as OriginMessage } from "@qmtl/contracts/qmtl/control/v1/session_pb";
import {
  type SessionClaimSchema,
  SessionKind,
} from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import type { SessionScope } from "@qmtl/service-kit";
import type { SessionOrigin } from "../ports.ts";

type ClaimInit = MessageInitShape<typeof SessionClaimSchema>;

/** Who a heartbeat or Nack is from, as the session's ticket says: without TRADE it only observes. */
export function claimToProto(session: SessionScope, origin?: SessionOrigin): ClaimInit {
  const { sessionId, worldId, strategyIds, rights } = session;
  const kind = rights.includes("trade") ? SessionKind.TRADER : SessionKind.OBSERVER;
  const told = origin === undefined ? {} : { origin: originToProto(origin) };
  return { sessionId, worldId, kind, strategyIds: [...strategyIds], ...told };
}

/** Where a session runs, as its client says; undefined when it says nothing. */
export function originFromProto(origin: OriginMessage | undefined): SessionOrigin | undefined {
  if (origin === undefined) return undefined;
  const { process, startTime } = origin;
  return { process, startMs: startTime === undefined ? 0 : timestampMs(startTime) };
}

function originToProto({ process, startMs }: SessionOrigin) {
  return { process, ...(startMs === 0 ? {} : { startTime: timestampFromMs(startMs) }) };
}

/** The claim of this gateway's own order router in a world. */
export function routerClaim(sessionId: string, worldId: string): ClaimInit {
  return { sessionId, worldId, kind: SessionKind.ROUTER };
}
