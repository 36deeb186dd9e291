import { recordTimeMsMin } from "@qmtl/core/queues";
import { isDateText, parseTimeText } from "@qmtl/sdk/config";
import type { FeedConfig } from "../store/replay-store.ts";

/** The part of a `sources:` entry that matters here. */
export interface SourceEntry {
  readonly adapter: string;
  readonly start: string | null;
  readonly until: string | null;
}

const dayMs = 86_400_000;

/**
 * The replay feeds of the `sources:` section, with their limits. `until: start` stops a feed before its first bar; a
 * date lets the bars of that day pass, too; a time is the last bucket end that may pass.
 */
export function feedConfigs(sources: Readonly<Record<string, SourceEntry>>): FeedConfig[] {
  return Object.entries(sources)
    .filter(([, entry]) => entry.adapter.endsWith("-replay"))
    .map(([source, entry]) => ({ source, untilMs: untilMs(entry) }));
}

function untilMs(entry: SourceEntry): number | null {
  if (entry.until === null) return null;
  if (entry.until === "start")
    return entry.start === null ? recordTimeMsMin : parseTimeText(entry.start);
  return parseTimeText(entry.until) + (isDateText(entry.until) ? dayMs : 0);
}
