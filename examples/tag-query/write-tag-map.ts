// Writes tag-map.json: what a run of strategy.ts online, beside both producers, would have left there.
import { writeFileSync } from "node:fs";
import { jcs, nodeIdsCrc32 } from "@qmtl/core/canonical";
import { type StrategyClass, StreamInput, TagQueryNode } from "@qmtl/sdk";
import { identifyStrategy } from "@qmtl/sdk/platform";
import { LargeOnly } from "./large-only.ts";
import { LeadProducer } from "./producers/lead.ts";
import { PairProducer } from "./producers/pair.ts";
import { TagQuery } from "./strategy.ts";

/** A queue as the file keeps it. */
interface TagMapEntry {
  readonly queue: string;
  readonly node_id: string;
  readonly source: string;
  readonly columns: number;
}

/** Text of the tag map: for every query the queues that match, by name, and a checksum over all of it. */
export function tagMapText(): string {
  const streams = [LeadProducer, PairProducer].flatMap(taggedStreams);
  const mappings: Record<string, readonly TagMapEntry[]> = {};
  for (const node of [TagQuery, LargeOnly].flatMap(nodesOf)) {
    const { node: query, intervalSeconds } = node.declared;
    if (!(query instanceof TagQueryNode)) continue;
    const { queryTags, matchMode } = query;
    const found = streams.filter(({ tags }) =>
      matchMode === "all"
        ? queryTags.every((tag) => tags.includes(tag))
        : queryTags.some((tag) => tags.includes(tag)),
    );
    const key = `${queryTags.join(",")}|${intervalSeconds}|${matchMode}`;
    mappings[key] = found.map(({ entry }) => entry).sort((a, b) => (a.queue < b.queue ? -1 : 1));
  }
  const lines = Object.keys(mappings)
    .sort()
    .flatMap((key) => [key, ...mappings[key]!.map((entry) => jcs({ ...entry }))]);
  return `${JSON.stringify({ version: 1, mappings, crc32: nodeIdsCrc32(lines) }, null, 2)}\n`;
}

function nodesOf(strategy: StrategyClass) {
  return identifyStrategy(strategy, { worldId: "offline" }).graph.nodes;
}

function taggedStreams(producer: StrategyClass) {
  return nodesOf(producer).flatMap(({ id, declared: { node } }) => {
    if (!(node instanceof StreamInput) || node.tags.length === 0) return [];
    const queue = `${node.tags[0]}_streaminput_${id.slice("blake3:".length).slice(0, 8)}_v1`;
    const { source, tags } = node;
    return [{ tags, entry: { queue, node_id: id, source, columns: node.outputs.length } }];
  });
}

if (import.meta.main) writeFileSync(new URL("tag-map.json", import.meta.url), tagMapText());
