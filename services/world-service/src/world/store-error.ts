import { QmtlError } from "@qmtl/sdk/rpc";
import { DbError } from "@qmtl/service-kit/db";

/** A database failure as the caller may see it. */
export function storeError(error: unknown): unknown {
  if (!(error instanceof DbError)) return error;
  const isUnknown = error.reason === "UNKNOWN_OUTCOME";
  return new QmtlError(
    isUnknown ? "OUTCOME_UNKNOWN" : "STORE_UNAVAILABLE",
    isUnknown ? "it is not known whether it was stored" : "the store did not take it",
    { cause: error, retryAfterMs: 500 },
  );
}
