import { type StrategyGraph, StrategyGraphSchema } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { nodeIdsCrc32 } from "@qmtl/core/canonical";
import { CommandError } from "../exit-codes.ts";
import { messageFromJson, readJsonFile } from "../input-file.ts";

/** True for a file that holds a graph in JSON; any other file is a strategy. */
export function isGraphFile(file: string): boolean {
  return file.toLowerCase().endsWith(".json");
}

/**
 * Reads a StrategyGraph from a file in proto3 JSON, and fills in the CRC of the node ids where it is missing.
 *
 * @throws {CommandError} when the file cannot be read or holds no graph.
 */
export function readGraphFile(file: string): StrategyGraph {
  const graph = messageFromJson(StrategyGraphSchema, readJsonFile(file), file);
  if (graph.nodes.length === 0) throw new CommandError(`${file}: the graph has no nodes`);
  if (graph.nodeIdsCrc32 === 0)
    graph.nodeIdsCrc32 = nodeIdsCrc32(graph.nodes.map((node) => node.nodeId));
  return graph;
}
