import { QmtlError } from "@qmtl/sdk/rpc";
import { isDatabaseOutage, OUTAGE_RETRY_MS, outageOf } from "@qmtl/service-kit";

/** A failed write as the caller may see it: OUTCOME_UNKNOWN, STORE_UNAVAILABLE. What is not an outage passes unchanged. */
export function storeError(error: unknown): unknown {
  const failure = outageOf(error)?.failure;
  if (!isDatabaseOutage(failure)) return error;
  const isUnknown = failure.reason === "UNKNOWN_OUTCOME";
  return new QmtlError(
    isUnknown ? "OUTCOME_UNKNOWN" : "STORE_UNAVAILABLE",
    isUnknown ? "it is not known whether it was stored" : "the store did not accept it",
    { cause: error, retryAfterMs: OUTAGE_RETRY_MS },
  );
}
