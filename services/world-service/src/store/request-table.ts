import { QmtlError } from "@qmtl/sdk/rpc";
import type { Queryable } from "@qmtl/service-kit/db";

/** Idempotency keys are kept this long, milliseconds. */
const requestKeptMs = 86_400_000;

/** Key of an idempotent request: one id within a scope, bound to its content. */
export interface RequestKey {
  /** Method and world, so that ids of different methods do not collide. */
  readonly scope: string;
  readonly requestId: string;
  readonly requestHash: string;
}

/**
 * The answer given to this request before, or undefined.
 *
 * @throws {QmtlError} `reused` when the id was used with other content
 */
export async function readRequest(
  db: Queryable,
  key: RequestKey,
  nowMs: number,
  reused: "REQUEST_ID_REUSED" | "RUN_ID_REUSED" = "REQUEST_ID_REUSED",
): Promise<string | undefined> {
  const [row] = await db.query<{ request_hash: string; response: string }>(
    `SELECT request_hash, response FROM world.request
     WHERE scope = $1 AND request_id = $2 AND created_ms > $3`,
    [key.scope, key.requestId, nowMs - requestKeptMs],
  );
  if (row === undefined) return undefined;
  if (row.request_hash === key.requestHash) return row.response;
  throw new QmtlError(reused, `${key.requestId} was used with other content`);
}

/** Stores the answer in the transaction of the change, and deletes expired ones. */
export async function writeRequest(
  db: Queryable,
  key: RequestKey,
  response: string,
  nowMs: number,
): Promise<void> {
  await db.query("DELETE FROM world.request WHERE created_ms <= $1", [nowMs - requestKeptMs]);
  await db.query(
    `INSERT INTO world.request (scope, request_id, request_hash, response, created_ms)
     VALUES ($1, $2, $3, $4, $5)`,
    [key.scope, key.requestId, key.requestHash, response, nowMs],
  );
}
