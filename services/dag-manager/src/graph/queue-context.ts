import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import {
  type ComputeContext,
  type ComputeContextSchema,
  ExecutionDomain,
} from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { computeKey, globalPartition, parseNodeId, sourceComputeKey } from "@qmtl/sdk/canonical";
import { QmtlError } from "@qmtl/sdk/rpc";

/** The part of a compute context that makes a key. Source nodes have world, domain and as-of `""`. */
export interface QueueContext {
  readonly worldId: string;
  readonly domain: "" | "backtest" | "dryrun" | "live" | "shadow";
  readonly asOf: string;
  readonly partition: string;
}

/** The context of source nodes, shared by all worlds. */
export const sourceContext: QueueContext = {
  worldId: "",
  domain: "",
  asOf: "",
  partition: globalPartition,
};

const domainNames: Readonly<Record<number, QueueContext["domain"]>> = {
  [ExecutionDomain.UNSPECIFIED]: "backtest",
  [ExecutionDomain.BACKTEST]: "backtest",
  [ExecutionDomain.DRYRUN]: "dryrun",
  [ExecutionDomain.LIVE]: "live",
  [ExecutionDomain.SHADOW]: "shadow",
};

const domainNumbers: Readonly<Record<QueueContext["domain"], ExecutionDomain>> = {
  "": ExecutionDomain.UNSPECIFIED,
  backtest: ExecutionDomain.BACKTEST,
  dryrun: ExecutionDomain.DRYRUN,
  live: ExecutionDomain.LIVE,
  shadow: ExecutionDomain.SHADOW,
};

/**
 * A context as asked for: an unspecified domain reads as backtest, an empty partition as `global`; live
 * and shadow have no as-of.
 *
 * @throws {QmtlError} CONTEXT_INCOMPLETE without a world.
 */
export function queueContext(context: ComputeContext, field: string): QueueContext {
  if (context.worldId === "") {
    throw new QmtlError("CONTEXT_INCOMPLETE", "a compute context names no world", {
      fields: [{ field: `${field}.world_id`, description: "is empty" }],
    });
  }
  const domain = domainNames[context.executionDomain] ?? "backtest";
  const asOf = domain === "live" || domain === "shadow" ? "" : context.asOf;
  const partition = context.partition === "" ? globalPartition : context.partition;
  return { worldId: context.worldId, domain, asOf, partition };
}

/** The context as a message. */
export function contextMessage(
  context: QueueContext,
): MessageInitShape<typeof ComputeContextSchema> {
  const { worldId, domain, asOf, partition } = context;
  return { worldId, executionDomain: domainNumbers[domain], asOf, partition };
}

/** Reads the stored name of a domain. */
export function domainOf(name: string): QueueContext["domain"] {
  return name in domainNumbers ? (name as QueueContext["domain"]) : "backtest";
}

export function isSameContext(a: QueueContext, b: QueueContext): boolean {
  const isSameWorld = a.worldId === b.worldId && a.partition === b.partition;
  return isSameWorld && a.domain === b.domain && a.asOf === b.asOf;
}

/** A pure source node: its rows are shared by all worlds. */
export function isSourceNode(node: Node): boolean {
  return node.source !== undefined && node.inputs.length === 0;
}

/** The compute key of a node in a context; of a source node, whatever the context. */
export function computeKeyOf(node: Node, context: QueueContext): string {
  const nodeId = parseNodeId(node.nodeId, "node_id");
  if (isSourceNode(node) || context.domain === "") return sourceComputeKey(nodeId);
  const { worldId, domain: executionDomain, asOf, partition } = context;
  return computeKey({ nodeId, worldId, executionDomain, asOf, partition });
}
