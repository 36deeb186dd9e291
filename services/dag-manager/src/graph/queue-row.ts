import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ColumnKind,
  type Node,
  type QueueDescriptor,
  QueueDescriptorSchema,
} from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import {
  computeKeyOf,
  contextMessage,
  isSourceNode,
  type QueueContext,
  sourceContext,
} from "./queue-context.ts";

export interface QueueColumn {
  readonly name: string;
  readonly kind: QueueColumnKind;
}

type QueueColumnKind = "f64" | "bytes";

/** A queue: where the output of one compute key is stored. */
export interface QueueRow {
  readonly computeKey: string;
  readonly nodeId: string;
  readonly name: string;
  readonly context: QueueContext;
  readonly isSource: boolean;
  readonly intervalSeconds: number;
  readonly columns: readonly QueueColumn[];
  readonly tags: readonly string[];
  readonly source: string;
  /** Records are accepted only through a gateway. */
  readonly gatewayOnly: boolean;
}

/** The queue of a node in a context, without its name. Replay sources publish through a gateway only. */
export function plannedQueue(node: Node, context: QueueContext): Omit<QueueRow, "name"> {
  const isSource = isSourceNode(node);
  return {
    computeKey: computeKeyOf(node, context),
    nodeId: node.nodeId,
    context: isSource ? sourceContext : context,
    isSource,
    intervalSeconds: Number(node.intervalSeconds),
    columns: node.columns.map(({ name, kind }) => ({ name, kind: columnKindName(kind, node) })),
    tags: node.tags,
    source: node.source?.source ?? "",
    gatewayOnly: isReplayAdapter(node.source?.adapter ?? ""),
  };
}

function columnKindName(kind: ColumnKind, node: Node): QueueColumnKind {
  if (kind === ColumnKind.F64) return "f64";
  if (kind === ColumnKind.BYTES) return "bytes";
  throw new QmtlError("INVALID_FIELD", `node ${node.nodeId} has a column of an unknown kind`, {
    fields: [{ field: "graph.nodes.columns.kind", description: "must be F64 or BYTES" }],
  });
}

const columnKinds: Readonly<Record<QueueColumnKind, ColumnKind>> = {
  f64: ColumnKind.F64,
  bytes: ColumnKind.BYTES,
};

/** True for an adapter whose rows pass a replay barrier. */
function isReplayAdapter(adapter: string): boolean {
  return adapter.endsWith("-replay");
}

export function queueDescriptor(queue: QueueRow): QueueDescriptor {
  const init: MessageInitShape<typeof QueueDescriptorSchema> = {
    computeKey: queue.computeKey,
    nodeId: queue.nodeId,
    queue: queue.name,
    location: { case: "log", value: {} },
    gatewayOnly: queue.gatewayOnly,
    context: contextMessage(queue.context),
    intervalSeconds: BigInt(queue.intervalSeconds),
    columns: queue.columns.map(({ name, kind }) => ({ name, kind: columnKinds[kind] })),
    tags: [...queue.tags],
    source: queue.source,
  };
  return create(QueueDescriptorSchema, init);
}
