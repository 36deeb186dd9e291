import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  ListQueuesByTagRequest,
  ListQueuesByTagResponseSchema,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { type PageFilters, pagesOf } from "@qmtl/service-kit";
import { contextMessage, type QueueContext, queueContext } from "../graph/queue-context.ts";
import { queueDescriptor } from "../graph/queue-row.ts";
import type { DagStore } from "../store/dag-store.ts";
import { countIncompatible, queuesByTag } from "../store/tag-match-store.ts";

/**
 * Queues whose tags match and whose context does not conflict with the requested one, ordered by name.
 *
 * @throws {QmtlError} PAGE_TOKEN_INVALID; CONTEXT_INCOMPLETE for a context without a world.
 */
export async function listQueuesByTag(
  { db, clock }: Pick<DagStore, "db" | "clock">,
  request: ListQueuesByTagRequest,
): Promise<MessageInitShape<typeof ListQueuesByTagResponseSchema>> {
  const { query, intervalSeconds } = request;
  const context =
    request.context === undefined ? undefined : queueContext(request.context, "context");
  const { tags, matchAll } = query!;
  const match = { tags, matchAll, intervalSeconds: Number(intervalSeconds), context };
  const filters: PageFilters = {
    method: "QueueService.ListQueuesByTag",
    tags,
    matchAll,
    intervalSeconds,
    context: contextText(context),
  };
  const pages = pagesOf(clock, request, filters, ["string"]);
  const [after] = pages.after ?? [""];
  const queues = await queuesByTag(db, match, { after, limit: pages.size + 1 });
  const { page, nextPageToken } = pages.end(queues, ({ name }) => [name]);
  const incompatibleQueues = context === undefined ? 0 : await countIncompatible(db, match);
  return { queues: page.map(queueDescriptor), nextPageToken, incompatibleQueues };
}

function contextText(context: QueueContext | undefined): string {
  return context === undefined ? "" : JSON.stringify(contextMessage(context));
}
