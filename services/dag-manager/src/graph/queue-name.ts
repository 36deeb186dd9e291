import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { isSourceNode, type QueueContext } from "./queue-context.ts";

/** Numbered names tried after the whole digest is taken. */
const numberedMax = 10_000;

/**
 * Names for the queue of a node in a context, best first:
 * `[<world>.<domain>.]<asset>_<node type>_<digest>_v1[_sim]`, with 8 characters of the node id's digest, 2
 * more while the name is taken, then the whole digest with `-1`, `-2`, …
 *
 * `asset` is the first tag, else "asset"; `_sim` marks dry runs; source queues have no world and no domain.
 */
export function* queueNames(node: Node, context: QueueContext): Generator<string> {
  const digest = node.nodeId.slice("blake3:".length);
  const isSource = isSourceNode(node);
  const namespace = isSource ? "" : `${word(context.worldId)}.${context.domain}.`;
  const stem = `${namespace}${asset(node)}_${word(node.nodeType)}`;
  const suffix = !isSource && context.domain === "dryrun" ? "_v1_sim" : "_v1";
  for (let length = 8; length <= digest.length; length += 2) {
    yield `${stem}_${digest.slice(0, length)}${suffix}`;
  }
  for (let number = 1; number <= numberedMax; number += 1) {
    yield `${stem}_${digest}-${number}${suffix}`;
  }
}

function asset(node: Node): string {
  const first = (node.tags[0] ?? "").toLowerCase().replace(/[^a-z0-9_-]/g, "");
  return first === "" ? "asset" : first.slice(0, 64);
}

function word(text: string): string {
  const plain = text.toLowerCase().replace(/[^a-z0-9_-]/g, "-");
  const trimmed = plain.replace(/^[-_]+|[-_]+$/g, "");
  return trimmed === "" ? "x" : trimmed.slice(0, 64);
}
