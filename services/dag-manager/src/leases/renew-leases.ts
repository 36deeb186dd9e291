import type { SessionScope } from "@qmtl/service-kit";
import type { GrantedLease, NodeLeases } from "./node-leases.ts";
import type { SessionRights } from "./session-rights.ts";

/** Renews the leases of a session, counted from now. One that its ticket does not cover any more is lost. */
export async function renewLeases(
  { nodeLeases, rights }: { readonly nodeLeases: NodeLeases; readonly rights: SessionRights },
  leases: readonly GrantedLease[],
  scope: SessionScope,
): Promise<ReturnType<NodeLeases["renew"]>> {
  const keys = leases.map(({ computeKey }) => computeKey);
  const covered = await rights.covered(scope, keys);
  const own = leases.filter(({ computeKey }) => covered.has(computeKey));
  const renewals = nodeLeases.renew(scope.sessionId, own).values();
  return leases.map(({ computeKey }) => {
    const renewal = covered.has(computeKey) ? renewals.next().value : undefined;
    return renewal ?? { isRenewed: false, currentEpoch: nodeLeases.row(computeKey).epoch };
  });
}
