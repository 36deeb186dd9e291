import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ColumnKind,
  type Node,
  type NodeSchema,
  Schedule,
  StrategyGraphSchema,
} from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import {
  type ComputeContext,
  type ComputeContextSchema,
  ExecutionDomain,
} from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  blake3Hex,
  computeKey,
  nodeIdsCrc32,
  parseNodeId,
  sourceComputeKey,
} from "@qmtl/core/canonical";

type NodeInit = Exclude<MessageInitShape<typeof NodeSchema>, Node>;
export type ContextInit = Exclude<MessageInitShape<typeof ComputeContextSchema>, ComputeContext>;

/** The id of the test node with this name. */
export const idOf = (name: string): string => `blake3:${blake3Hex(name)}`;

export function node(name: string, inputs: readonly string[], more: NodeInit = {}): NodeInit {
  return {
    nodeId: idOf(name),
    nodeType: "sma",
    intervalSeconds: 86_400n,
    period: 1,
    paramsJson: "{}",
    inputs: inputs.map((input) => ({ port: input, nodeId: idOf(input) })),
    schemaCompatId: "float64",
    codeHash: "h",
    name,
    columns: [{ name: "value", kind: ColumnKind.F64 }],
    hasState: false,
    deterministic: true,
    ...more,
  };
}

export function source(name: string, feed = "feed", more: NodeInit = {}): NodeInit {
  const binding = { source: feed, schedule: Schedule.OBSERVED, adapter: "csv-replay" };
  return node(name, [], { nodeType: "StreamInput", source: binding, ...more });
}

export function graph(nodes: readonly (NodeInit | Node)[]) {
  const nodeIdsCrc = nodeIdsCrc32(nodes.map((item) => item.nodeId ?? ""));
  return create(StrategyGraphSchema, { nodes: [...nodes], nodeIdsCrc32: nodeIdsCrc });
}

/** Graphs of the demo's shape: 7 nodes each, 4 shared, 13 distinct. */
export const demoGraphs = (() => {
  const shared = [
    source("bars"),
    node("close", ["bars"]),
    node("ret1", ["close"]),
    node("vol20", ["ret1"]),
  ];
  const a = [...shared, node("sma200", ["close"]), node("distance", ["close", "sma200", "vol20"])];
  const b = [...shared, node("rsi3", ["close"]), node("swing", ["rsi3", "vol20"])];
  const c = [...shared, source("flow"), node("flowz", ["flow", "vol20"])];
  return {
    a: graph([...a, node("targetA", ["distance"])]),
    b: graph([...b, node("targetB", ["swing"])]),
    c: graph([...c, node("targetC", ["flowz"])]),
  };
})();

export const backtest: ContextInit = {
  worldId: "w1",
  executionDomain: ExecutionDomain.BACKTEST,
  asOf: "data-1",
};
export const dryrun: ContextInit = { ...backtest, executionDomain: ExecutionDomain.DRYRUN };

/** Compute key of a test node in world w1. */
export function keyOf(name: string, domain: "backtest" | "dryrun" = "backtest"): string {
  const nodeId = parseNodeId(idOf(name), "node");
  return computeKey({
    nodeId,
    worldId: "w1",
    executionDomain: domain,
    asOf: "data-1",
    partition: "global",
  });
}

export const sourceKeyOf = (name: string): string =>
  sourceComputeKey(parseNodeId(idOf(name), "node"));
