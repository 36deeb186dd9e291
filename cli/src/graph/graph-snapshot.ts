import { create, type JsonObject, toJson } from "@bufbuild/protobuf";
import {
  type Node,
  type StrategyGraph,
  StrategyGraphSchema,
} from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { jcs, nodeId, parseNodeId } from "@qmtl/core/canonical";
import { loadStrategy } from "@qmtl/sdk";
import { type IdentifiedStrategy, identifyStrategy } from "@qmtl/sdk/platform";
import { CommandError } from "../exit-codes.ts";
import { messageFromJson, readJsonFile } from "../input-file.ts";
import { isGraphFile, readGraphFile } from "./read-graph.ts";

/** First field of a snapshot file. */
const snapshotFormat = "qmtl-dag-snapshot/1";

/** The canonical ids of a strategy's nodes, with the parts they are computed from. */
export interface GraphSnapshot {
  readonly strategy: string;
  /** Ordered by id; each has the parts its id covers, and its name. */
  readonly nodes: readonly Node[];
}

/** The snapshot of a strategy file, or of a file that holds a StrategyGraph in JSON; needs no platform. */
export async function snapshotOf(
  file: string,
  options: { readonly world: string; readonly export?: string },
): Promise<GraphSnapshot> {
  if (isGraphFile(file)) {
    const { nodes } = readGraphFile(file);
    checkIds(nodes, file);
    return { strategy: "", nodes: sorted(nodes.map(identityOf)) };
  }
  const strategy = await loadStrategy(file, options.export);
  const identified = identifyStrategy(strategy, { worldId: options.world });
  return { strategy: identified.strategy.name, nodes: sorted(nodesOf(identified)) };
}

/** The text of a snapshot file: the same for the same ids. */
export function snapshotText({ strategy, nodes }: GraphSnapshot): string {
  const graph = create(StrategyGraphSchema, { nodes: [...nodes] });
  const json = toJson(StrategyGraphSchema, graph, { useProtoFieldName: true });
  return `${JSON.stringify({ format: snapshotFormat, strategy, graph: json }, null, 2)}\n`;
}

/** @throws {CommandError} when the file cannot be read, is not a snapshot, or was changed by hand. */
export function readSnapshot(file: string): GraphSnapshot {
  const json = readJsonFile(file);
  if (!isObject(json) || json.format !== snapshotFormat)
    throw new CommandError(
      `${file} is not a snapshot of a graph`,
      undefined,
      "`qmtl dag snapshot --file FILE --freeze` writes one",
    );
  const graph: StrategyGraph = messageFromJson(StrategyGraphSchema, json.graph ?? {}, file);
  checkIds(graph.nodes, file);
  const strategy = typeof json.strategy === "string" ? json.strategy : "";
  return { strategy, nodes: sorted(graph.nodes) };
}

function nodesOf({ graph, hashCode }: IdentifiedStrategy): Node[] {
  const made = create(StrategyGraphSchema, {
    nodes: graph.nodes.map(({ id, declared, hashable }) => ({
      nodeId: id,
      nodeType: hashable.node_type,
      intervalSeconds: BigInt(hashable.interval_seconds),
      period: hashable.period,
      paramsJson: jcs(hashable.params),
      inputs: hashable.inputs.map((input) => ({ port: input.port, nodeId: input.node_id })),
      schemaCompatId: hashable.schema_compat_id,
      codeHash: hashCode(hashable.code),
      name: declared.name,
    })),
  });
  return made.nodes;
}

/** The node's name and the parts that its id covers, without anything else. */
function identityOf(node: Node): Node {
  const { nodeId: id, nodeType, intervalSeconds, period, paramsJson, inputs } = node;
  const { schemaCompatId, codeHash, name } = node;
  const parts = { nodeType, intervalSeconds, period, paramsJson, inputs, schemaCompatId, codeHash };
  return create(StrategyGraphSchema, { nodes: [{ nodeId: id, ...parts, name }] }).nodes[0]!;
}

/** Recomputes every id: a snapshot or graph that was edited by hand proves nothing. */
function checkIds(nodes: readonly Node[], file: string): void {
  for (const node of nodes) {
    const computed = computedId(node, file);
    if (computed === node.nodeId) continue;
    throw new CommandError(
      `${file}: node ${node.name || node.nodeId} does not match its id: its content gives ${computed}`,
    );
  }
}

function computedId(node: Node, file: string): string {
  try {
    return nodeId({
      node_type: node.nodeType,
      interval_seconds: Number(node.intervalSeconds),
      period: node.period,
      params: JSON.parse(node.paramsJson),
      inputs: node.inputs.map(({ port, nodeId: id }) => ({ port, node_id: parseNodeId(id) })),
      schema_compat_id: node.schemaCompatId,
      code_hash: node.codeHash,
    });
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new CommandError(`${file}: node ${node.name || node.nodeId}: ${problem}`);
  }
}

function sorted(nodes: readonly Node[]): Node[] {
  return nodes.toSorted((a, b) => (a.nodeId < b.nodeId ? -1 : a.nodeId > b.nodeId ? 1 : 0));
}

function isObject(json: unknown): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
