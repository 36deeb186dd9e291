import type { RefusedIntent } from "./router-options.ts";

/** Stable reasons of orders that were wanted and not made, or not whole. */
export type RefusalReason =
  | "ACCOUNT_RUINED"
  | "ACCOUNT_UNRECONCILED"
  | "BELOW_MINIMUM"
  | "MARGIN_CALL"
  | "MARK_INVALID"
  | "ORDER_UNKNOWN_PENDING"
  | "OVER_LIMIT"
  | "REDUCED_TO_BUYING_POWER";

/** The stable reason that is reported for lots that the books, the limits or the money rules did not let through. */
export function refusalReason(reason: RefusedIntent["reason"]): RefusalReason {
  switch (reason) {
    case "ACCOUNT_RUINED":
    case "BELOW_MINIMUM":
    case "MARGIN_CALL":
    case "REDUCED_TO_BUYING_POWER":
      return reason;
    case "MARK_NOT_POSITIVE":
      return "MARK_INVALID";
    case "ORDER_UNKNOWN":
      return "ORDER_UNKNOWN_PENDING";
    case "OPENING_SHUT":
      return "ACCOUNT_UNRECONCILED";
    case "MARK_MISSING":
    case "NOT_REDUCING":
    case "ORDER_NOTIONAL_MAX":
    case "GROSS_NOTIONAL_MAX":
      return "OVER_LIMIT";
  }
}
