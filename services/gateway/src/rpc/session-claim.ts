import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type SessionClaimSchema,
  SessionKind,
} from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import { originField, type SessionOrigin, type SessionScope } from "@qmtl/service-kit";

type ClaimInit = MessageInitShape<typeof SessionClaimSchema>;

/** Who a heartbeat or Nack is from, as the session's ticket says: without TRADE it only observes. */
export function claimToProto(session: SessionScope, origin?: SessionOrigin): ClaimInit {
  const { sessionId, worldId, strategyIds, rights } = session;
  const kind = rights.includes("trade") ? SessionKind.TRADER : SessionKind.OBSERVER;
  return { sessionId, worldId, kind, strategyIds: [...strategyIds], ...originField(origin) };
}
