import type { ServerError } from "./db-errors.ts";
import type { EncodedParam } from "./sql-param.ts";

/**
 * To the worker, as a list: those that were made together. Requests are carried out one after another and answered in
 * that order, a list with a list, for waking a thread costs as much as a statement. `begin` opens a transaction first;
 * if that is refused, so is the request, and nothing of it was done.
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
 * From the worker, as a list: one `ready` or `fatal` first, then one answer a request. After `fatal` nothing follows.
 */
export type PgliteAnswer<Row> =
  | { kind: "ready" }
  | { kind: "rows"; rows: Row[] }
  | { kind: "refused"; error: ServerError }
  | { kind: "undecodable"; message: string }
  | { kind: "fatal"; message: string };
