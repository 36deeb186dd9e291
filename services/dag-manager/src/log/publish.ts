import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  PublishRequest,
  PublishResponseSchema,
} from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import { RecordFault } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { foldMessage } from "./fold-message.ts";
import type { QueueLog } from "./queue-log.ts";

/** Appends the records of a request of a session; void ones are told apart in the results. */
export async function publish(
  log: QueueLog,
  request: PublishRequest,
  sessionId: string,
): Promise<MessageInitShape<typeof PublishResponseSchema>> {
  // Who writes is what the ticket says, whatever the record does.
  for (const { body } of request.records) {
    if (body.case === "start") body.value.sessionId = sessionId;
  }
  const results = await log.append(request.records);
  return {
    results: results.map(({ fault, state }) => ({
      effective: fault === RecordFault.UNSPECIFIED,
      fault,
      state: foldMessage(state),
    })),
  };
}
