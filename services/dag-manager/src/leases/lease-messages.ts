import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  LeaseRef,
  LeaseRenewalSchema,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { GrantedLease } from "./lease-desk.ts";

/** Epochs as numbers. */
export function leaseRefs(refs: readonly LeaseRef[]): GrantedLease[] {
  return refs.map(({ computeKey, leaseEpoch }) => ({ computeKey, epoch: Number(leaseEpoch) }));
}

export function renewalMessage(
  ref: LeaseRef,
  renewal: { readonly isRenewed: boolean; readonly currentEpoch: number },
): MessageInitShape<typeof LeaseRenewalSchema> {
  const { isRenewed, currentEpoch } = renewal;
  return { computeKey: ref.computeKey, renewed: isRenewed, currentEpoch: BigInt(currentEpoch) };
}

/** Why leases are given up: "stop" (or none) is a clean end, "diverged" excludes the holder's build. */
export function releaseReason(reason: string): "clean" | "diverged" {
  if (reason === "diverged") return "diverged";
  if (reason === "" || reason === "stop") return "clean";
  const fields = [{ field: "reason", description: `${reason} is neither stop nor diverged` }];
  throw new QmtlError("INVALID_FIELD", "unknown reason of a release", { fields });
}
