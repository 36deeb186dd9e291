/** What a call can fail with, alone: no transport is loaded for it. */
export {
  type FieldViolation,
  hasReason,
  QmtlError,
  type QmtlErrorOptions,
  type ReasonName,
} from "./qmtl-error.ts";
export { StatusCode } from "./status-code.ts";
