import { QmtlError } from "@qmtl/sdk/rpc";
import { isDatabaseOutage, OUTAGE_RETRY_MS, outageOf } from "@qmtl/service-kit";

/**
 * Converts an outage of the database into OUTCOME_UNKNOWN or STORE_UNAVAILABLE; any other error is returned as it is.
 */
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
