import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  ListQueuesByTagRequest,
  ListQueuesByTagResponseSchema,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { Queryable } from "@qmtl/service-kit/db";
import { queueContext } from "../graph/queue-context.ts";
import { queuesByTag } from "../store/queue-store.ts";
import { queueDescriptor } from "./queue-row.ts";

const pageDefault = 100;

/** Queues whose tags match, ordered by name; a page token is the last name of the page before. */
export async function listQueuesByTag(
  db: Queryable,
  request: ListQueuesByTagRequest,
): Promise<MessageInitShape<typeof ListQueuesByTagResponseSchema>> {
  const limit = request.pageSize === 0 ? pageDefault : request.pageSize;
  const { context, query } = request;
  const match = {
    tags: query!.tags,
    matchAll: query!.matchAll,
    intervalSeconds: Number(request.intervalSeconds),
    context:
      context === undefined || context.worldId === ""
        ? undefined
        : queueContext(context, "context"),
  };
  const queues = await queuesByTag(db, match, { after: request.pageToken, limit: limit + 1 });
  const page = queues.slice(0, limit);
  return {
    queues: page.map(queueDescriptor),
    nextPageToken: queues.length > limit ? page.at(-1)!.name : "",
  };
}
