import type { Node, StrategyGraph } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { IdentityError, nodeId, nodeIdsCrc32, parseNodeId } from "@qmtl/core/canonical";
import { type FieldViolation, QmtlError, type ReasonName } from "@qmtl/sdk/rpc";

/** Largest number of nodes of one graph. */
const graphNodesMax = 10_000;
/** Largest number of bytes of one submission. */
export const submissionBytesMax = 16 * 1024 * 1024;
/** Violations named in one refusal at most. */
const violationsMax = 100;

/**
 * Checks a graph whole: size, CRC of the ids, unknown dependencies, cycles, and every node id by computing it again.
 *
 * @throws {QmtlError} GRAPH_TOO_LARGE, CRC_MISMATCH, UNKNOWN_DEPENDENCY, GRAPH_HAS_CYCLE, NODE_ID_MISMATCH,
 * RESERVED_PARAM, INVALID_FIELD; each names the fields.
 */
export function checkGraph(graph: StrategyGraph): void {
  const { nodes } = graph;
  if (nodes.length > graphNodesMax) {
    const description = `${nodes.length} nodes, at most ${graphNodesMax}`;
    refuse("GRAPH_TOO_LARGE", "the graph is too large", [{ field: "graph.nodes", description }]);
  }
  checkFields(nodes);
  if (nodeIdsCrc32(nodes.map((node) => node.nodeId)) !== graph.nodeIdsCrc32) {
    const description = "does not match the node ids in the order sent";
    const fields = [{ field: "graph.node_ids_crc32", description }];
    refuse("CRC_MISMATCH", "the node ids were damaged in transit", fields);
  }
  checkEdges(nodes);
  checkIds(nodes);
}

function checkFields(nodes: readonly Node[]): void {
  const violations: FieldViolation[] = [];
  const seen = new Set<string>();
  nodes.forEach((node, at) => {
    const missing = (name: string) =>
      violations.push({ field: `graph.nodes[${at}].${name}`, description: "is missing" });
    if (node.nodeId === "") missing("node_id");
    if (node.nodeType === "") missing("node_type");
    if (node.codeHash === "") missing("code_hash");
    if (node.schemaCompatId === "") missing("schema_compat_id");
    if (node.paramsJson === "") missing("params_json");
    if (seen.has(node.nodeId)) {
      violations.push({ field: `graph.nodes[${at}].node_id`, description: "appears twice" });
    }
    seen.add(node.nodeId);
  });
  if (violations.length > 0) refuse("INVALID_FIELD", "nodes are incomplete", violations);
}

function checkEdges(nodes: readonly Node[]): void {
  const at = new Map(nodes.map((node, index) => [node.nodeId, index]));
  const unknown: FieldViolation[] = [];
  const waiting = new Map<string, number>();
  const readers = new Map<string, string[]>();
  nodes.forEach((node, index) => {
    node.inputs.forEach((input, port) => {
      if (!at.has(input.nodeId)) {
        const field = `graph.nodes[${index}].inputs[${port}].node_id`;
        unknown.push({ field, description: `${input.nodeId} is not part of the graph` });
      }
      const list = readers.get(input.nodeId);
      if (list === undefined) readers.set(input.nodeId, [node.nodeId]);
      else list.push(node.nodeId);
    });
    waiting.set(node.nodeId, node.inputs.length);
  });
  if (unknown.length > 0) refuse("UNKNOWN_DEPENDENCY", "inputs name unknown nodes", unknown);
  const ready = nodes.filter((node) => node.inputs.length === 0).map((node) => node.nodeId);
  for (let next = ready.pop(); next !== undefined; next = ready.pop()) {
    waiting.delete(next);
    for (const reader of readers.get(next) ?? []) {
      const left = (waiting.get(reader) ?? 0) - 1;
      waiting.set(reader, left);
      if (left === 0) ready.push(reader);
    }
  }
  if (waiting.size === 0) return;
  const fields = [...waiting.keys()].map((id) => ({
    field: `graph.nodes[${at.get(id)}].inputs`,
    description: "is on a cycle, or reads one",
  }));
  refuse("GRAPH_HAS_CYCLE", "the graph has a cycle", fields);
}

function checkIds(nodes: readonly Node[]): void {
  const violations: FieldViolation[] = [];
  nodes.forEach((node, index) => {
    const field = `graph.nodes[${index}]`;
    const expected = computeId(node, field);
    if (expected === node.nodeId) return;
    violations.push({ field: `${field}.node_id`, description: `its content gives ${expected}` });
  });
  if (violations.length > 0)
    refuse("NODE_ID_MISMATCH", "node ids do not match their content", violations);
}

function computeId(node: Node, field: string): string {
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
  } catch (error) {
    if (!(error instanceof IdentityError || error instanceof SyntaxError)) throw error;
    const isReserved = error instanceof IdentityError && error.reason === "RESERVED_PARAM";
    const path = error instanceof IdentityError ? error.path : "params_json";
    refuse(isReserved ? "RESERVED_PARAM" : "INVALID_FIELD", `node ${node.name}: ${error.message}`, [
      { field: `${field}.${path}`, description: error.message },
    ]);
  }
}

function refuse(reason: ReasonName, message: string, fields: readonly FieldViolation[]): never {
  throw new QmtlError(reason, message, { fields: fields.slice(0, violationsMax) });
}
