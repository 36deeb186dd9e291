import type { QmtlConfig } from "../config/index.ts";
import { parseTimeText } from "../sources/index.ts";
import type { ReplayRows } from "../sources/replay-feed.ts";
import { loadOfflineFeed, rowsUntil } from "./offline-feed.ts";

/** Rows of a `sources:` entry: its history before `start`, its feed from there on. */
export async function loadReplayRows(config: QmtlConfig, source: string): Promise<ReplayRows> {
  const feed = await loadOfflineFeed(config, source, Number.POSITIVE_INFINITY);
  const start = config.sources[source]?.start ?? null;
  const before = start === null ? 0 : rowsUntil(feed.table.openTimeMs, parseTimeText(start) - 1);
  return {
    firstRow: feed.firstRow,
    startRow: feed.firstRow + before,
    endRow: feed.firstRow + feed.table.rows,
    bucketEndMs: feed.table.bucketEndMs,
    fingerprint: feed.datasetFingerprint,
    column: (name) => feed.column(name),
  };
}
