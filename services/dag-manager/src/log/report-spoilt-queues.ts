import { recordTimeMsMax, recordTimeMsMin } from "@qmtl/core/queues";
import type { Logger } from "@qmtl/service-kit";
import type { Queryable } from "@qmtl/service-kit/db";

const isNoTime = (column: string): string =>
  `h.${column} not between ${recordTimeMsMin} and ${recordTimeMsMax}`;

/**
 * Logs an error for each queue whose log holds a time or a row that no record may state: older versions took them. Such a
 * queue is served without what cannot be stated, but its rows are of no use, and its next ones may be refused.
 */
export async function reportSpoiltQueues(db: Queryable, logger: Logger): Promise<void> {
  const spoilt = await db.query<{
    name: string;
    source: string;
    is_source: boolean;
    last_bucket_end_ms: number | null;
    known_at_ms: number | null;
    watermark_ms: number | null;
    next_row: number;
  }>(
    `select q.name, q.source, q.is_source, h.last_bucket_end_ms, h.known_at_ms, h.watermark_ms, h.next_row
     from dag.queue_head h join dag.queue q using (compute_key)
     where ${["last_bucket_end_ms", "known_at_ms", "watermark_ms"].map(isNoTime).join(" or ")}
       or h.next_row < 0
       or h.next_row > (${recordTimeMsMax} - ${recordTimeMsMin}) / (q.interval_seconds * 1000) + 1
     order by q.name`,
  );
  for (const { name, source, is_source: isSource, ...state } of spoilt) {
    const wayOut = isSource
      ? `give source ${source} another name under \`sources:\`, with the strategies that read it`
      : "run the strategy in another world";
    logger.error(
      `queue ${name} holds a time or a row that no record may state, from an older version: restore a backup from before it, or ${wayOut}`,
      state,
    );
  }
}
