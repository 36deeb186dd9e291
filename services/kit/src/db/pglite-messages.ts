import type { ServerError } from "./db-errors.ts";
import type { EncodedParam } from "./sql-param.ts";

/**
 * A request to the worker. Those that were made together are sent as one list and answered by one list, since waking a
 * thread costs as much as a statement; they are carried out one after another and answered in that order. `begin` opens
 * a transaction first; if that is refused, so is the request, and nothing of it was done.
 */
export type PgliteRequest =
  | { kind: "query"; sql: string; params: EncodedParam[]; begin: string | undefined }
  | { kind: "script"; sql: string; begin: string | undefined }
  | { kind: "close" };

/** What a worker is started with. */
export interface PgliteWorkerData {
  dataDir: string;
  cacheDir: string | undefined;
}

/**
 * A message from the worker, in a list: first one `ready` or `fatal`, then one answer per request. Nothing follows a
 * `fatal`.
 */
export type PgliteAnswer<Row> =
  | { kind: "ready" }
  | { kind: "rows"; rows: Row[] }
  | { kind: "refused"; error: ServerError }
  | { kind: "undecodable"; message: string }
  | { kind: "fatal"; message: string };
