import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  PublishRequest,
  PublishResponseSchema,
} from "@qmtl/contracts/qmtl/data/v1/queue_data_pb";
import type { QueueLog } from "./queue-log.ts";

/** Appends the records of a request; void ones are told apart in the results. */
export async function publish(
  log: QueueLog,
  request: PublishRequest,
): Promise<MessageInitShape<typeof PublishResponseSchema>> {
  const results = await log.append(request.records);
  return {
    results: results.map(({ isEffective, reason, nextSeq, nextRow, epoch }) => ({
      effective: isEffective,
      reason,
      nextSeq: BigInt(nextSeq),
      nextRow: BigInt(nextRow),
      epoch: BigInt(epoch),
    })),
  };
}
