import type { Node, StrategyGraph } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { checkGraph, type GraphFindingReason } from "@qmtl/core/canonical";
import { type FieldViolation, QmtlError, type ReasonName } from "@qmtl/sdk/rpc";

/** Largest number of node ids that one refusal names. */
const namedMax = 20;

interface Refusal {
  readonly reason: ReasonName;
  readonly message: string;
  /** Describes what is wrong with the field, given the id of its node or input. */
  readonly describe: (id: string) => string;
  /** @default {@link namedMax} */
  readonly fieldsMax?: number;
}

const refusals: Readonly<Record<GraphFindingReason, Refusal>> = {
  CRC_MISMATCH: {
    reason: "CRC_MISMATCH",
    message: "the node ids were damaged in transit",
    describe: () => "is not that of the node ids",
  },
  DUPLICATE_NODE: {
    reason: "INVALID_FIELD",
    message: "a node id appears twice",
    describe: (id) => `${id} appears twice`,
    fieldsMax: 1,
  },
  UNKNOWN_DEPENDENCY: {
    reason: "UNKNOWN_DEPENDENCY",
    message: "an input is not in the graph",
    describe: (id) => `${id} is not in the graph`,
  },
  GRAPH_HAS_CYCLE: {
    reason: "GRAPH_HAS_CYCLE",
    message: "the graph has a cycle",
    describe: (id) => `${id} waits for itself`,
  },
};

/**
 * Orders the nodes so that each comes after its inputs; among those that could come next, the given order decides.
 *
 * @throws {QmtlError} CRC_MISMATCH, INVALID_FIELD when an id appears twice, UNKNOWN_DEPENDENCY when an input is not in
 * the graph, GRAPH_HAS_CYCLE when there is no such order.
 */
export function orderNodes({ nodes, nodeIdsCrc32 }: StrategyGraph): Node[] {
  const { findings, order } = checkGraph(nodes, nodeIdsCrc32);
  const [first] = findings;
  if (first === undefined) return order.map((at) => nodes[at]!);
  const { reason, message, describe, fieldsMax = namedMax } = refusals[first.reason];
  const fields = findings
    .filter((finding) => finding.reason === first.reason)
    .slice(0, fieldsMax)
    .map((finding): FieldViolation => {
      const node = "node" in finding ? nodes[finding.node] : undefined;
      const id = "input" in finding ? node?.inputs[finding.input]?.nodeId : node?.nodeId;
      return { field: `graph.${finding.field}`, description: describe(id ?? "") };
    });
  throw new QmtlError(reason, message, { fields });
}
