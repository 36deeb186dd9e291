import { type Node, Schedule, type StrategyGraph } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import {
  checkGraph as findingsOf,
  type GraphFinding,
  IdentityError,
  nodeId,
  parseNodeId,
} from "@qmtl/core/canonical";
import { varyingName } from "@qmtl/core/intervals";
import { type FieldViolation, QmtlError, type ReasonName } from "@qmtl/sdk/rpc";

/** Largest number of nodes of one graph. */
const graphNodesMax = 10_000;
/** Largest number of bytes of one submission. */
export const submissionBytesMax = 16 * 1024 * 1024;
/** Largest number of violations named in one refusal. */
const violationsMax = 100;

/**
 * Checks a graph whole: size, CRC of the ids, unknown dependencies, cycles, and every node id by computing it again.
 *
 * @throws {QmtlError} GRAPH_TOO_LARGE, CRC_MISMATCH, UNKNOWN_DEPENDENCY, GRAPH_HAS_CYCLE, NODE_ID_MISMATCH,
 *   RESERVED_PARAM, INVALID_FIELD; each names the fields.
 */
export function checkGraph(graph: StrategyGraph): void {
  const { nodes } = graph;
  if (nodes.length > graphNodesMax) {
    const description = `${nodes.length} nodes, at most ${graphNodesMax}`;
    refuse("GRAPH_TOO_LARGE", "the graph is too large", [{ field: "graph.nodes", description }]);
  }
  const { findings } = findingsOf(nodes, graph.nodeIdsCrc32);
  checkFields(nodes, findings);
  for (const { reason, message, describe } of edgeRefusals) {
    const fields = findings
      .filter((finding) => finding.reason === reason)
      .map((finding) => ({
        field: `graph.${finding.field}`,
        description: describe(finding, nodes),
      }));
    if (fields.length > 0) refuse(reason, message, fields);
  }
  checkIds(nodes);
}

/** How findings are refused, in this order; a node that appears twice is refused with the fields. */
const edgeRefusals = [
  {
    reason: "CRC_MISMATCH",
    message: "the node ids were damaged in transit",
    describe: () => "does not match the node ids in the order sent",
  },
  {
    reason: "UNKNOWN_DEPENDENCY",
    message: "inputs name unknown nodes",
    describe: (finding, nodes) => `${inputOf(finding, nodes)} is not part of the graph`,
  },
  {
    reason: "GRAPH_HAS_CYCLE",
    message: "the graph has a cycle",
    describe: () => "is on a cycle, or reads one",
  },
] as const satisfies readonly {
  readonly reason: ReasonName;
  readonly message: string;
  readonly describe: (finding: GraphFinding, nodes: readonly Node[]) => string;
}[];

/** Id that an input names. */
function inputOf(finding: GraphFinding, nodes: readonly Node[]): string {
  return "input" in finding ? (nodes[finding.node]?.inputs[finding.input]?.nodeId ?? "") : "";
}

function checkFields(nodes: readonly Node[], findings: readonly GraphFinding[]): void {
  const violations: FieldViolation[] = [];
  const twice = new Set(
    findings.flatMap((finding) => (finding.reason === "DUPLICATE_NODE" ? [finding.node] : [])),
  );
  nodes.forEach((node, at) => {
    const missing = (name: string) =>
      violations.push({ field: `graph.nodes[${at}].${name}`, description: "is missing" });
    if (node.nodeId === "") missing("node_id");
    if (node.nodeType === "") missing("node_type");
    if (node.codeHash === "") missing("code_hash");
    if (node.schemaCompatId === "") missing("schema_compat_id");
    if (node.paramsJson === "") missing("params_json");
    const fault = intervalFault(node);
    if (fault !== undefined)
      violations.push({ field: `graph.nodes[${at}].${fault[0]}`, description: fault[1] });
    if (twice.has(at)) {
      violations.push({ field: `graph.nodes[${at}].node_id`, description: "appears twice" });
    }
  });
  if (violations.length > 0)
    refuse(
      "INVALID_FIELD",
      "nodes lack a field, or have a value that they cannot have",
      violations,
    );
}

/** Longest bucket of a fixed length: a week. */
const fixedSecondsMax = 604_800;

/** The field and the fault of an interval that a node cannot have. */
function intervalFault({ intervalSeconds, source }: Node): readonly [string, string] | undefined {
  const seconds = Number(intervalSeconds);
  const name = varyingName(seconds);
  if (seconds > fixedSecondsMax && name === undefined) {
    const most = `must be at most ${fixedSecondsMax}, or what stands for a month, quarter or year`;
    return ["interval_seconds", most];
  }
  if (name === undefined || source?.schedule !== Schedule.CONTINUOUS) return undefined;
  return ["source.schedule", `bars of ${name} have no continuous schedule`];
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
