import type { Code } from "@connectrpc/connect";
import type { Reason } from "@qmtl/contracts/qmtl/type/v1/reason_pb";
import { codeOfReason } from "./reason-code.ts";

/** Name of a refusal: a value of `enum Reason` in the contracts, without its prefix. A closed set. */
export type ReasonName = Exclude<keyof typeof Reason, "UNSPECIFIED">;

/** One field of a request that was wrong. */
export interface FieldViolation {
  /** Path of the field in proto names, such as `graph.nodes[3].interval_seconds`. */
  readonly field: string;
  /** What is wrong with it, for people. */
  readonly description: string;
}

export interface QmtlErrorOptions {
  /** Fields that were wrong. At most 100 are sent over the wire. @default none */
  fields?: readonly FieldViolation[];
  /** Facts for machines, such as `{ feature: "GatewayService.Subscribe" }`. @default none */
  metadata?: Readonly<Record<string, string>>;
  /** Wait at least this long before trying again, milliseconds. @default unset */
  retryAfterMs?: number;
  /** The underlying failure; never sent over the wire. */
  cause?: unknown;
  /** Status code of a foreign error, or of a call that the caller cancelled. @default that of the reason */
  code?: Code;
}

/**
 * Every error that crosses the wire: a refusal the caller can act upon, or an outage.
 *
 * Match `reason`, never the text. Handlers of all services and clients made with `connectTo` throw it, so an error
 * passes a proxy unchanged.
 */
export class QmtlError extends Error {
  override readonly name = "QmtlError";
  readonly reason: ReasonName;
  readonly code: Code;
  readonly fields: readonly FieldViolation[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;

  constructor(reason: ReasonName, message: string, options: QmtlErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.reason = reason;
    this.code = options.code ?? codeOfReason(reason);
    this.fields = options.fields ?? [];
    this.metadata = options.metadata ?? {};
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** True for an error with one of these reasons. */
export function hasReason(error: unknown, ...reasons: readonly ReasonName[]): error is QmtlError {
  return error instanceof QmtlError && reasons.includes(error.reason);
}
