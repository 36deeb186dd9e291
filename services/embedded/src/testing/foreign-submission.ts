import type { MessageInitShape } from "@bufbuild/protobuf";
import type { SubmitStrategyRequestSchema } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ColumnKind, Schedule } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { jcs, nodeId, nodeIdsCrc32, parseNodeId } from "@qmtl/core/canonical";

const FORM = {
  intervalSeconds: 86_400n,
  period: 1,
  schemaCompatId: "f64:a",
  codeHash: "h",
  columns: [{ name: "a", kind: ColumnKind.F64 }],
};

function idOf(nodeType: string, params: object, inputs: readonly string[]): string {
  return nodeId({
    ...{ node_type: nodeType, interval_seconds: 86_400, period: 1, params },
    inputs: inputs.map((id, at) => ({ port: `in${at}`, node_id: parseNodeId(id) })),
    ...{ schema_compat_id: FORM.schemaCompatId, code_hash: FORM.codeHash },
  });
}

/** A strategy of two nodes with the tag `t`, on source `day`, as a client in any language submits it. */
export function foreignSubmission(
  strategyName: string,
  worldIds: readonly string[],
): MessageInitShape<typeof SubmitStrategyRequestSchema> {
  const bars = idOf("bars", {}, []);
  const params = { for: strategyName };
  const mean = idOf("mean", params, [bars]);
  const nodes = [
    {
      ...{ ...FORM, nodeId: bars, nodeType: "bars", name: "bars", paramsJson: jcs({}) },
      source: { source: "day", schedule: Schedule.OBSERVED },
    },
    {
      ...{ ...FORM, nodeId: mean, nodeType: "mean", name: "mean", paramsJson: jcs(params) },
      inputs: [{ port: "in0", nodeId: bars }],
      tags: ["t"],
    },
  ];
  return {
    ...{ requestId: strategyName, strategyName, worldIds: [...worldIds], asOf: "snapshot" },
    graph: { nodes, nodeIdsCrc32: nodeIdsCrc32([bars, mean]) },
  };
}
