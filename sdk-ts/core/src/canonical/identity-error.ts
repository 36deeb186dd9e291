/** Why a value cannot be part of an identity. */
export type IdentityErrorReason = "NOT_CANONICAL" | "RESERVED_PARAM" | "BAD_NODE" | "BAD_CONTEXT";

/** A value that must not, or cannot, enter an id. `path` says where it was found, e.g. `params.window[2]`. */
export class IdentityError extends Error {
  override readonly name = "IdentityError";
  readonly reason: IdentityErrorReason;
  readonly path: string;

  constructor(reason: IdentityErrorReason, path: string, message: string) {
    super(message);
    this.reason = reason;
    this.path = path;
  }
}
