import { Code } from "@connectrpc/connect";
import { QmtlError } from "@qmtl/sdk/rpc";
import { BusError } from "../bus/event-bus.ts";
import { DbError } from "../db/db-errors.ts";
import { isDisabled } from "./disabled-db.ts";

/** Names under which the two things every service depends on are reported; a peer is reported by its own name. */
export const DATABASE = "database";
export const EVENT_BUS = "event bus";

/** How many causes of a failure are examined: what wraps an outage need not know of outages. */
const CAUSES_MAX = 8;

const DB_OUTAGES: ReadonlySet<string> = new Set([
  "DB_UNAVAILABLE",
  "DB_OVERLOADED",
  "STATEMENT_TIMEOUT",
  "TRANSACTION_TIMEOUT",
  "UNKNOWN_OUTCOME",
]);

/** True when the database failed, as opposed to refusing: the same call may succeed a little later. */
export function isDatabaseOutage(failure: unknown): failure is DbError {
  if (!(failure instanceof DbError)) return false;
  return DB_OUTAGES.has(failure.reason) || isDisabled(failure);
}

/** True when a peer did not do its work, as opposed to refusing. */
function isPeerOutage({ code, metadata }: QmtlError): boolean {
  return (
    metadata.peer !== undefined && (code === Code.Unavailable || code === Code.DeadlineExceeded)
  );
}

/** An outage found in a failure or in what caused it. */
interface Outage {
  /** What is down: `database`, `event bus`, or the name of a peer. */
  readonly subject: string;
  /** The failure that shows it. */
  readonly failure: Error;
}

/** The outage behind a failure; undefined when it is a refusal or a bug. */
export function outageOf(failure: unknown): Outage | undefined {
  let error: unknown = failure;
  for (let depth = 0; error instanceof Error && depth < CAUSES_MAX; depth += 1) {
    if (isDatabaseOutage(error)) return { subject: DATABASE, failure: error };
    if (error instanceof BusError && error.reason === "BUS_UNAVAILABLE") {
      return { subject: EVENT_BUS, failure: error };
    }
    if (error instanceof QmtlError && isPeerOutage(error)) {
      return { subject: error.metadata.peer ?? "", failure: error };
    }
    error = error.cause;
  }
  return undefined;
}
