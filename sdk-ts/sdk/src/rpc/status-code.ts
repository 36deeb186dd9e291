import type { Code } from "@connectrpc/connect";

/**
 * The status codes of gRPC. The library's `Code` is the same table, but importing it would load the library's whole
 * runtime with every error class, even where no call is ever made, as in a backtest.
 */
export const StatusCode = {
  Canceled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
} as const satisfies { readonly [Name in keyof typeof Code]: (typeof Code)[Name] };
