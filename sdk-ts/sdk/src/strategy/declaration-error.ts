/**
 * Why a declaration is refused.
 *
 * - `INVALID_FIELD`: a value is missing or not allowed.
 * - `RESERVED_PARAM`: a param is named for where a node runs (`world`, `as_of`, `env_…`), which its identity must not know.
 * - `DUPLICATE_NAME`: two nodes of different content have one name.
 * - `EMPTY_STRATEGY`: `setup` added no node.
 * - `NODES_DIFFER`: `setup` declared other nodes the second time it ran.
 * - `TAG_QUERY_UNRESOLVED`: no queue carries the tags of a query.
 */
export type DeclarationReason =
  | "INVALID_FIELD"
  | "RESERVED_PARAM"
  | "DUPLICATE_NAME"
  | "EMPTY_STRATEGY"
  | "NODES_DIFFER"
  | "TAG_QUERY_UNRESOLVED";

/** A strategy or node was declared wrongly; `field` names what to change. */
export class DeclarationError extends Error {
  override readonly name = "DeclarationError";
  /** Stable, for programs. */
  readonly reason: DeclarationReason;
  /** For example `StreamInput.interval`. */
  readonly field: string;
  /** What is wrong with the field, and what to write instead. */
  readonly problem: string;

  /** @param place where it is written, for example `strategy.ts:12`; shown at the end of the message */
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
