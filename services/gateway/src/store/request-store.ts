import { QmtlError } from "@qmtl/sdk/rpc";
import type { Tx } from "@qmtl/service-kit/db";

/** How long a request id is remembered: 24 hours, in milliseconds. */
export const requestKeptMs = 86_400_000;

/** What a request id stands for. */
export interface RememberedRequest {
  /** Empty: the request has none. */
  readonly requestId: string;
  readonly contentHash: string;
  readonly submissionId: string;
}

/**
 * Remembers what a request id stood for, in the transaction of the request. True when it is known with the same
 * content: the request was handled before.
 *
 * @throws {QmtlError} REQUEST_ID_REUSED when it stood for something else.
 */
export async function rememberRequest(
  tx: Tx,
  request: RememberedRequest,
  nowMs: number,
): Promise<boolean> {
  if (request.requestId === "") return false;
  const { requestId, contentHash, submissionId } = request;
  const added = await tx.query(
    `with forgotten as (delete from gateway.request_id where created_ms < $5 and request_id <> $1)
     insert into gateway.request_id as r (request_id, content_hash, submission_id, created_ms)
     values ($1, $2, $3, $4)
     on conflict (request_id) do update set content_hash = excluded.content_hash,
       submission_id = excluded.submission_id, created_ms = excluded.created_ms
       where r.created_ms < $5
     returning request_id`,
    [requestId, contentHash, submissionId, nowMs, nowMs - requestKeptMs],
  );
  if (added.length === 1) return false;
  const [known] = await tx.query<{ content_hash: string }>(
    "select content_hash from gateway.request_id where request_id = $1",
    [requestId],
  );
  if (known?.content_hash === contentHash) return true;
  throw new QmtlError("REQUEST_ID_REUSED", "the request id stood for another request", {
    metadata: { request_id: requestId },
  });
}
