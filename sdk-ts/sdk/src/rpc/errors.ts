/** The errors of calls on their own: importing them loads no transport. */
export {
  type FieldViolation,
  hasReason,
  QmtlError,
  type QmtlErrorOptions,
  type ReasonName,
} from "./qmtl-error.ts";
export { StatusCode } from "./status-code.ts";
