import {
  type BatchInput,
  type ClockSpec,
  continuousClock,
  observedClock,
} from "@qmtl/core/dataflow";
import type { QmtlConfig } from "../../config/index.ts";
import { streamClock, type TagMatch } from "../../strategy/graphs.ts";
import { StreamInput, TagQueryNode } from "../../strategy/index.ts";
import type { SourceRows } from "../source-files/source-rows.ts";
import { TagMapFile } from "../source-files/tag-map-file.ts";
import type { IdentifiedStrategy } from "../strategy-loading/identify-strategy.ts";

/** A queue of a tag query that is read from a file. */
interface FiledMatch {
  readonly nodeId: string;
  readonly source: string;
  readonly clock: ClockSpec;
}

/** What the tag queries of a strategy read in an offline run. */
export interface OfflineTags {
  /** Queues by id of the tag query node. */
  readonly matches: ReadonlyMap<string, readonly TagMatch[]>;
  /** Queues that are not streams of the strategy itself. */
  readonly filed: readonly FiledMatch[];
}

/**
 * Finds the queues of a strategy's tag queries without a server: its own streams that carry the tags, and the queues
 * that the queries last found in an online run, if these came from an entry of `sources:`. A query may find none.
 *
 * @param onProblem called for a tag map that cannot be used, and for each queue in it that no entry of `sources:` has
 */
export function findOfflineTags(
  identified: IdentifiedStrategy,
  config: QmtlConfig,
  onProblem: (problem: string) => void,
): OfflineTags {
  const { nodes } = identified.graph;
  const file = new TagMapFile(config.cache.tagquery_cache_path, onProblem);
  const matches = new Map<string, readonly TagMatch[]>();
  const filed = new Map<string, FiledMatch>();
  for (const { id, declared } of nodes) {
    const { node, intervalSeconds } = declared;
    if (!(node instanceof TagQueryNode)) continue;
    const found = new Map<string, TagMatch>();
    for (const each of nodes) {
      const { node: stream, name } = each.declared;
      const isEqual = each.declared.intervalSeconds === intervalSeconds;
      if (!(stream instanceof StreamInput) || !isEqual || !carries(stream, node)) continue;
      const clock = streamClock(stream, intervalSeconds);
      found.set(each.id, { nodeId: each.id, name, clock });
    }
    for (const { node_id: nodeId, queue: name, source } of file.get({ node, intervalSeconds }) ??
      []) {
      if (found.has(nodeId)) continue;
      const entry = config.sources[source];
      if (entry === undefined) {
        onProblem(`queue ${name} of the tag map is left out: "sources:" has no entry for it`);
        continue;
      }
      const intervalMs = intervalSeconds * 1_000;
      const clock =
        entry.schedule === "continuous"
          ? continuousClock(intervalMs)
          : observedClock(source, intervalMs);
      found.set(nodeId, { nodeId, name, clock });
      filed.set(nodeId, { nodeId, source, clock });
    }
    matches.set(id, [...found.values()]);
  }
  return { matches, filed: [...filed.values()] };
}

/** Rows of the queues that are read from files: column `close`, or the first column if there is no `close`. */
export function tagRows(
  { filed }: OfflineTags,
  feeds: ReadonlyMap<string, SourceRows>,
): BatchInput[] {
  return filed.map(({ nodeId, source }) => {
    const { table, firstRow, column } = feeds.get(source)!;
    const [first = "close"] = table.columns.keys();
    const name = table.columns.has("close") ? "close" : first;
    return { nodeId, endMs: table.bucketEndMs, firstRow, columns: [column(name)] };
  });
}

function carries(stream: StreamInput, { queryTags, matchMode }: TagQueryNode): boolean {
  const has = (tag: string): boolean => stream.tags.includes(tag);
  return matchMode === "all" ? queryTags.every(has) : queryTags.some(has);
}
