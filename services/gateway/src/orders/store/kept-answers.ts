import { QmtlError } from "@qmtl/sdk/rpc";
import type { Queryable } from "@qmtl/service-kit/db";

/** The answer given to a request id before, undefined for none. Throws REQUEST_ID_REUSED when the request differs. */
export async function keptAnswer(
  db: Queryable,
  kind: string,
  requestId: string,
  requestHash: string,
): Promise<Uint8Array | undefined> {
  const [row] = await db.query<{ request_hash: string; answer: Uint8Array }>(
    "SELECT request_hash, answer FROM gateway.order_request WHERE kind = $1 AND request_id = $2",
    [kind, requestId],
  );
  if (row === undefined || row.request_hash === requestHash) return row?.answer;
  throw new QmtlError("REQUEST_ID_REUSED", `${requestId} was used for another request`, {
    metadata: { request_id: requestId },
  });
}

/** Stores an answer; call it in the transaction that stores what it states. */
export async function keepAnswer(
  db: Queryable,
  kept: {
    readonly kind: string;
    readonly requestId: string;
    readonly requestHash: string;
    readonly answer: Uint8Array;
    readonly nowMs: number;
  },
): Promise<void> {
  await db.query(
    `INSERT INTO gateway.order_request (kind, request_id, request_hash, answer, time_ms)
     VALUES ($1, $2, $3, $4, $5)`,
    [kept.kind, kept.requestId, kept.requestHash, kept.answer, kept.nowMs],
  );
}

/** Forgets answers of a kind that were given before a time. */
export async function forgetAnswers(db: Queryable, kind: string, beforeMs: number): Promise<void> {
  await db.query("DELETE FROM gateway.order_request WHERE kind = $1 AND time_ms < $2", [
    kind,
    beforeMs,
  ]);
}
