import { ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "@qmtl/contracts/google/rpc/error_details_pb";
import { ERROR_DOMAIN } from "./error-details.ts";
import { QmtlError } from "./qmtl-error.ts";

/**
 * True for a failure that the platform itself reported, so the platform can be reached, even if a service behind it
 * cannot; false for a failure on the way to it: no connection, no answer in time, a cancelled call.
 */
export function isAnswer(failure: unknown): boolean {
  if (!(failure instanceof QmtlError)) return false;
  const { cause } = failure;
  if (!(cause instanceof ConnectError)) return true;
  return cause.findDetails(ErrorInfoSchema).some(({ domain }) => domain === ERROR_DOMAIN);
}
