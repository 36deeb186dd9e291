import type { ServerError } from "./db-errors.ts";
import type { EncodedParam } from "./sql-param.ts";

/** To the worker. Requests are carried out one after another and answered in that order. */
export type PgliteRequest =
  | { kind: "query"; sql: string; params: EncodedParam[] }
  | { kind: "script"; sql: string }
  | { kind: "close" };

/** What a worker is started with. */
export interface PgliteWorkerData {
  dataDir: string;
  cacheDir: string | undefined;
}

/** From the worker: one `ready` or `fatal` first, then one answer a request. After `fatal` nothing follows. */
export type PgliteAnswer<Row> =
  | { kind: "ready" }
  | { kind: "rows"; rows: Row[] }
  | { kind: "refused"; error: ServerError }
  | { kind: "undecodable"; message: string }
  | { kind: "fatal"; message: string };
