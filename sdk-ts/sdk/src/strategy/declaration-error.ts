/**
 * Why a declaration is refused.
 *
 * - `INVALID_FIELD`: a value is missing or not allowed.
 * - `RESERVED_PARAM`: a param has a name for where a node runs (`world`, `as_of`, `env_…`), which no id may contain.
 * - `DUPLICATE_NAME`: two nodes with different content have the same name.
 * - `EMPTY_STRATEGY`: `setup` added no node.
 * - `NODES_DIFFER`: `setup` declared different nodes the second time it ran.
 * - `STATE_TOO_LARGE`: the state of a fold has more than 64 fields or 8,192 numbers.
 * - `TAG_QUERY_UNRESOLVED`: no queue carries the tags of a query.
 */
export type DeclarationReason =
  | "INVALID_FIELD"
  | "RESERVED_PARAM"
  | "DUPLICATE_NAME"
  | "EMPTY_STRATEGY"
  | "NODES_DIFFER"
  | "STATE_TOO_LARGE"
  | "TAG_QUERY_UNRESOLVED";

/** Thrown for a wrong declaration of a strategy or node; `field` names what to change. */
export class DeclarationError extends Error {
  override readonly name = "DeclarationError";
  /** Stable, for programs. */
  readonly reason: DeclarationReason;
  /** For example `StreamInput.interval`. */
  readonly field: string;
  /** What is wrong with the field, and what to write instead. */
  readonly problem: string;

  /** @param place where the declaration is written, for example `strategy.ts:12`; shown at the end of the message */
  constructor(
    reason: DeclarationReason,
    field: string,
    problem: string,
    options: ErrorOptions & { readonly place?: string | undefined } = {},
  ) {
    const { place, ...rest } = options;
    super(`${field}: ${problem}${place === undefined ? "" : ` (${place})`}`, rest);
    this.reason = reason;
    this.field = field;
    this.problem = problem;
  }
}

/** The error for a value that is not allowed. */
export function invalid(field: string, problem: string): DeclarationError {
  return new DeclarationError("INVALID_FIELD", field, problem);
}
