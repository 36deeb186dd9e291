import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type Node,
  type QueueDescriptor,
  QueueDescriptorSchema,
} from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import {
  computeKeyOf,
  contextMessage,
  isSourceNode,
  type QueueContext,
  sourceContext,
} from "../graph/queue-context.ts";

/** A queue: where the output of one compute key lies. */
export interface QueueRow {
  readonly computeKey: string;
  readonly nodeId: string;
  readonly name: string;
  readonly context: QueueContext;
  readonly isSource: boolean;
  readonly intervalSeconds: number;
  readonly columns: number;
  readonly tags: readonly string[];
  readonly source: string;
  /** "log" or "kafka". */
  readonly transport: string;
  readonly topic: string;
  readonly partition: number;
  readonly directPublish: boolean;
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
    columns: node.columns,
    tags: node.tags,
    source: node.source?.source ?? "",
    transport: "log",
    topic: "",
    partition: 0,
    directPublish: !isReplayAdapter(node.source?.adapter ?? ""),
  };
}

/** An adapter whose rows pass a barrier. */
export function isReplayAdapter(adapter: string): boolean {
  return adapter.endsWith("-replay");
}

export function queueDescriptor(queue: QueueRow): QueueDescriptor {
  const init: MessageInitShape<typeof QueueDescriptorSchema> = {
    computeKey: queue.computeKey,
    nodeId: queue.nodeId,
    queue: queue.name,
    transport: queue.transport,
    topic: queue.topic,
    partition: queue.partition,
    directPublish: queue.directPublish,
    context: contextMessage(queue.context),
    intervalSeconds: BigInt(queue.intervalSeconds),
    columns: queue.columns,
    tags: [...queue.tags],
    source: queue.source,
  };
  return create(QueueDescriptorSchema, init);
}
