import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { coneOfEach } from "@qmtl/core/canonical";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Queryable } from "@qmtl/service-kit/db";
import {
  isSourceNode,
  nodeContext,
  type QueueContext,
  sourceContext,
} from "../graph/queue-context.ts";
import { plannedQueue, type QueueRow } from "../graph/queue-row.ts";
import { type GraphState, readGraphState } from "../store/graph-state.ts";
import { takenNames } from "../store/queue-store.ts";

/** How many numbered names are tried once the name with the whole digest is taken, too. */
const numberedMax = 10_000;

/** Largest number of queues of one diff: nodes × contexts. */
const diffQueuesMax = 100_000;

/** One node in one context, and whether it existed before. */
export interface PlannedAssignment {
  readonly node: Node;
  readonly queue: QueueRow;
  /** Context of the strategy it belongs to; undefined for a source, which belongs to all. */
  readonly of: QueueContext | undefined;
  /** Node and queue existed before this submission. */
  readonly isReused: boolean;
  /** The node existed before this submission. */
  readonly isNodeKnown: boolean;
}

/** What a diff would add. */
export interface DiffPlan {
  /** In topological order of the nodes; within a node, in the order of the requested contexts. */
  readonly assignments: readonly PlannedAssignment[];
  readonly newNodes: readonly Node[];
  readonly newQueues: readonly QueueRow[];
  /** What it was planned from. */
  readonly stored: GraphState;
}

/** Whose nodes are compared. */
export interface DiffOf {
  /** Empty: of no strategy. */
  readonly strategyId: string;
  /** Empty: nothing counts as its own. */
  readonly submissionId: string;
}

/** Ordered nodes and the queues that they need in the contexts of their strategy. */
export interface WantedGraph extends DiffOf {
  readonly nodes: readonly Node[];
  readonly wanted: readonly WantedQueue[];
  readonly worldIds: readonly string[];
}

/**
 * What ordered nodes need in the contexts of their strategy. The context of a node has only the pins of the sources it
 * depends on.
 *
 * @throws {QmtlError} GRAPH_TOO_LARGE; CONTEXT_INCOMPLETE when a source is not pinned.
 */
export function wantedGraph(
  nodes: readonly Node[],
  contexts: readonly QueueContext[],
  { strategyId, submissionId }: DiffOf,
): WantedGraph {
  const cones = coneOfEach(nodes);
  const wanted = nodes.flatMap((node) => {
    if (isSourceNode(node)) return [wantedQueue(node, sourceContext, undefined)];
    const cone = cones.get(node.nodeId)!;
    return contexts.map((of) => wantedQueue(node, nodeContext(of, cone), of));
  });
  if (wanted.length > diffQueuesMax) {
    const message = `${wanted.length} queues wanted by one diff, at most ${diffQueuesMax}`;
    throw new QmtlError("GRAPH_TOO_LARGE", message);
  }
  const worldIds = strategyId === "" ? [] : contexts.map(({ worldId }) => worldId);
  return { nodes, wanted, strategyId, submissionId, worldIds };
}

/** Compares a graph with the global strategy graph as it is stored now. */
export async function planDiff(db: Queryable, graph: WantedGraph): Promise<DiffPlan> {
  return planFrom(db, graph, await readStateOf(db, [graph]));
}

/** What is stored of some graphs and their strategies. */
export function readStateOf(db: Queryable, graphs: readonly WantedGraph[]): Promise<GraphState> {
  const wanted = graphs.flatMap((graph) => graph.wanted);
  return readGraphState(db, {
    nodeIds: distinct(graphs.flatMap(({ nodes }) => nodes.map((node) => node.nodeId))),
    computeKeys: distinct(wanted.map(({ queue }) => queue.computeKey)),
    names: distinct(wanted.map(({ node, context }) => firstName(node, context))),
    tags: distinct(wanted.flatMap(({ queue }) => queue.tags)),
    intervals: distinct(wanted.map(({ queue }) => queue.intervalSeconds)),
    strategyIds: distinct(graphs.map(({ strategyId }) => strategyId)),
    worldIds: distinct(graphs.flatMap(({ worldIds }) => worldIds)),
  });
}

const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)];

/**
 * Compares a graph with what is stored. What an earlier attempt of the same submission added counts as new, so that a
 * retry gets the same answer.
 */
export async function planFrom(
  db: Queryable,
  { nodes, wanted, submissionId }: WantedGraph,
  stored: GraphState,
): Promise<DiffPlan> {
  const { nodes: nodesThere, queues: there } = stored;
  const unknown = wanted.filter(({ queue }) => !there.has(queue.computeKey));
  const named = await nameQueues(db, unknown, stored.takenNames);
  const isOwn = (by: string): boolean => submissionId !== "" && by === submissionId;
  const assignments = wanted.map(({ node, queue, of }): PlannedAssignment => {
    const known = there.get(queue.computeKey);
    const nodeBy = nodesThere.get(node.nodeId);
    return {
      node,
      of,
      queue: known?.queue ?? named.get(queue.computeKey)!,
      isReused: known !== undefined && !isOwn(known.submissionId),
      isNodeKnown: nodeBy !== undefined && !isOwn(nodeBy),
    };
  });
  const newNodes = nodes.filter((node) => !nodesThere.has(node.nodeId));
  return { assignments, newNodes, newQueues: [...named.values()], stored };
}

interface WantedQueue {
  readonly node: Node;
  readonly context: QueueContext;
  readonly queue: Omit<QueueRow, "name">;
  readonly of: QueueContext | undefined;
}

function wantedQueue(node: Node, context: QueueContext, of: QueueContext | undefined): WantedQueue {
  return { node, context, queue: plannedQueue(node, context), of };
}

/** Gives each new queue the first of its candidate names that is not taken; of the first ones it is known. */
async function nameQueues(
  db: Queryable,
  wanted: readonly WantedQueue[],
  firstTaken: ReadonlySet<string>,
): Promise<Map<string, QueueRow>> {
  const named = new Map<string, QueueRow>();
  const given = new Set<string>();
  let open = [...new Map(wanted.map((item) => [item.queue.computeKey, item])).values()].map(
    ({ node, context, queue }) => ({ queue, names: queueNames(node, context), name: "" }),
  );
  const firsts = new Set(wanted.map(({ node, context }) => firstName(node, context)));
  while (open.length > 0) {
    for (const item of open) item.name = nextName(item.names, given);
    const others = open.map((item) => item.name).filter((name) => !firsts.has(name));
    const taken =
      others.length === 0
        ? firstTaken
        : new Set([...firstTaken, ...(await takenNames(db, others))]);
    open = open.filter((item) => {
      if (taken.has(item.name) || given.has(item.name)) return true;
      given.add(item.name);
      named.set(item.queue.computeKey, { ...item.queue, name: item.name });
      return false;
    });
  }
  return named;
}

function firstName(node: Node, context: QueueContext): string {
  return nextName(queueNames(node, context), new Set());
}

function nextName(names: Generator<string>, given: ReadonlySet<string>): string {
  for (;;) {
    const next = names.next();
    if (next.done === true) throw new Error("every possible name of a queue is taken");
    if (!given.has(next.value)) return next.value;
  }
}

/**
 * Names for the queue of a node in a context, best first:
 * `[<world>.<domain>.]<asset>_<node type>_<digest>_v1[_sim]`, with the first 8 characters of the node id's digest, 2
 * more as long as the name is taken, then the whole digest with `-1`, `-2`, …
 *
 * `asset` is the first tag, else "asset"; `_sim` marks dry runs; source queues have no world and no domain.
 */
function* queueNames(node: Node, context: QueueContext): Generator<string> {
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
