import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type LeaseRef,
  type LeaseRenewalSchema,
  ReleaseReason,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { GrantedLease } from "./node-leases.ts";

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

/** Why leases are given up: a clean end, or a divergence, which excludes the holder's build. */
export function releaseReason(reason: ReleaseReason): "clean" | "diverged" {
  switch (reason) {
    case ReleaseReason.STOP:
      return "clean";
    case ReleaseReason.DIVERGED:
      return "diverged";
    default:
      throw new Error(`a release for no reason: ${reason}`);
  }
}
