import type { MessageInitShape } from "@bufbuild/protobuf";
import type { FoldStateSchema } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { type FoldState, isRecordTime } from "@qmtl/core/queues";

/**
 * The state of a fold as a message; known-at and watermark are absent until there is one, and where an older version
 * stored one that is no time.
 */
export function foldMessage(fold: FoldState): MessageInitShape<typeof FoldStateSchema> {
  const { epoch, seq, nextRow, knownAtMs, watermarkMs, ended } = fold;
  return {
    epoch: BigInt(epoch),
    nextSeq: BigInt(seq),
    nextRow: BigInt(nextRow),
    ended,
    ...(isRecordTime(knownAtMs) ? { knownAtMs } : {}),
    ...(isRecordTime(watermarkMs) ? { watermarkMs: BigInt(Math.trunc(watermarkMs)) } : {}),
  };
}
