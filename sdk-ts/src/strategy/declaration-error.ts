/** Why a declaration is refused. */
export type DeclarationReason =
  | "INVALID_FIELD"
  | "RESERVED_PARAM"
  | "DUPLICATE_NAME"
  | "NODE_CYCLE"
  | "EMPTY_STRATEGY"
  | "TAG_QUERY_UNRESOLVED";

/** A strategy or node was declared wrongly; `field` names what to change. */
export class DeclarationError extends Error {
  override readonly name = "DeclarationError";
  readonly reason: DeclarationReason;
  /** For example `StreamInput.interval`. */
  readonly field: string;

  constructor(reason: DeclarationReason, field: string, problem: string) {
    super(`${field}: ${problem}`);
    this.reason = reason;
    this.field = field;
  }
}

/** The error for a value that is not allowed. */
export function invalid(field: string, problem: string): DeclarationError {
  return new DeclarationError("INVALID_FIELD", field, problem);
}
