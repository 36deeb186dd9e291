import { QmtlError, qmtlErrorFrom } from "@qmtl/sdk/rpc";
import { DbError } from "../db/db-errors.ts";
import { isDisabled, whyDisabled } from "./disabled-db.ts";
import { DATABASE, outageOf } from "./outage-of.ts";

/** When a caller should try again, milliseconds: a server that restarts takes about this long. */
export const OUTAGE_RETRY_MS = 1_000;

/**
 * Any failure as the caller may see it. A database or bus that does not answer is STORE_UNAVAILABLE or
 * PEER_UNAVAILABLE with the time to wait, whatever wraps it; OUTCOME_UNKNOWN where the call may have been carried out
 * and repeating it is not safe. Refusals pass unchanged; everything else is a BUG.
 *
 * @param canRepeat the call may be made again with the same effect.
 */
export function refusalFrom(failure: unknown, canRepeat: boolean): QmtlError {
  if (failure instanceof QmtlError && isFinal(failure, canRepeat)) return withRetryTime(failure);
  const outage = outageOf(failure instanceof QmtlError ? failure.cause : failure);
  if (outage === undefined) return qmtlErrorFrom(failure);
  if (outage.failure instanceof QmtlError) return withRetryTime(outage.failure);
  const isUnknown =
    outage.failure instanceof DbError && outage.failure.reason === "UNKNOWN_OUTCOME";
  const options = { cause: failure, retryAfterMs: OUTAGE_RETRY_MS };
  if (isUnknown && !canRepeat) {
    return new QmtlError("OUTCOME_UNKNOWN", "it is not known whether it was stored", options);
  }
  return outage.subject === DATABASE
    ? new QmtlError("STORE_UNAVAILABLE", databaseText(outage.failure), options)
    : new QmtlError(
        "PEER_UNAVAILABLE",
        `the ${outage.subject} does not answer; try again`,
        options,
      );
}

function databaseText(failure: Error): string {
  return isDisabled(failure)
    ? `the database cannot do its work: ${whyDisabled(failure)}; try again`
    : "the database does not answer; try again";
}

/** False for an error that may hide an outage: a bug, or an unknown outcome of a call that can be repeated. */
function isFinal({ reason }: QmtlError, canRepeat: boolean): boolean {
  return reason !== "BUG" && (reason !== "OUTCOME_UNKNOWN" || !canRepeat);
}

/** Adds the time to wait to the refusal of an outage that states none. */
function withRetryTime(error: QmtlError): QmtlError {
  const isOutage = error.reason === "STORE_UNAVAILABLE" || error.reason === "PEER_UNAVAILABLE";
  if (!isOutage || error.retryAfterMs !== undefined) return error;
  const { fields, metadata, code, cause } = error;
  const options = { fields, metadata, code, cause, retryAfterMs: OUTAGE_RETRY_MS };
  return new QmtlError(error.reason, error.message, options);
}
