import { hasReason } from "@qmtl/sdk/rpc";
import { DbUnavailable, UnknownOutcome } from "@qmtl/service-kit/db";

/** True when the database gave no answer: what was to be stored is not, or nobody knows. */
export function isStoreOutage(failure: unknown): boolean {
  return (
    failure instanceof DbUnavailable ||
    failure instanceof UnknownOutcome ||
    hasReason(failure, "STORE_UNAVAILABLE", "OUTCOME_UNKNOWN")
  );
}
