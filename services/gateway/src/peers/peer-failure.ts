import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { isAnswer, QmtlError, qmtlErrorFrom } from "@qmtl/sdk/rpc";
import { OUTAGE_RETRY_MS } from "@qmtl/service-kit";

/**
 * What a call to a peer failed with, with the peer's name and when to try again in every outage. A peer that gave no
 * answer in time is PEER_UNAVAILABLE where the call may be repeated: nobody needs to know whether it was done.
 */
export function peerFailure(peer: string, method: DescMethod, failure: unknown): QmtlError {
  const error = qmtlErrorFrom(failure);
  if (error.reason === "BARRIER_HELD") return error; // an answer, though one to ask again after
  const isLate = error.code === Code.DeadlineExceeded;
  if (!isLate && error.code !== Code.Unavailable) return error;
  const { fields, cause, code } = error;
  const metadata = { peer, ...error.metadata };
  const retryAfterMs = error.retryAfterMs ?? OUTAGE_RETRY_MS;
  const options = { fields, metadata, cause, retryAfterMs };
  const isTold = isAnswer(error);
  const canRepeat = method.idempotency !== Idempotency.IDEMPOTENCY_UNKNOWN;
  if (isLate && canRepeat && !isTold) {
    return new QmtlError("PEER_UNAVAILABLE", `${peer} gave no answer in time`, options);
  }
  const message = isTold ? error.message : `${peer} does not answer: ${error.message}`;
  return new QmtlError(error.reason, message, { ...options, code });
}
