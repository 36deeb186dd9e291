import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { QmtlError } from "@qmtl/sdk/rpc";

/** Node ids named in one refusal at most. */
const namedMax = 20;

/**
 * The nodes so that each comes after its inputs; among those that could come next, in the order given.
 *
 * @throws {QmtlError} INVALID_FIELD when an id occurs twice, UNKNOWN_DEPENDENCY when an input is not in the
 * graph, GRAPH_HAS_CYCLE when there is no such order.
 */
export function orderNodes(nodes: readonly Node[]): Node[] {
  const positions = new Map<string, number>();
  for (const [position, node] of nodes.entries()) {
    if (positions.has(node.nodeId)) {
      throw refusal("INVALID_FIELD", "a node id appears twice", [
        { field: `graph.nodes[${position}].node_id`, description: `${node.nodeId} appears twice` },
      ]);
    }
    positions.set(node.nodeId, position);
  }
  const { waitsFor, readers } = edges(nodes, positions);
  const ready = new PositionHeap(waitsFor.flatMap((count, at) => (count === 0 ? [at] : [])));
  const ordered: Node[] = [];
  for (let at = ready.pop(); at !== undefined; at = ready.pop()) {
    ordered.push(nodes[at]!);
    for (const reader of readers[at]!) {
      waitsFor[reader]! -= 1;
      if (waitsFor[reader] === 0) ready.push(reader);
    }
  }
  if (ordered.length === nodes.length) return ordered;
  const fields = waitsFor.flatMap((count, at) =>
    count > 0
      ? [
          {
            field: `graph.nodes[${at}].inputs`,
            description: `${nodes[at]!.nodeId} waits for itself`,
          },
        ]
      : [],
  );
  throw refusal("GRAPH_HAS_CYCLE", "the graph has a cycle", fields.slice(0, namedMax));
}

function edges(nodes: readonly Node[], positions: ReadonlyMap<string, number>) {
  const waitsFor = nodes.map(() => 0);
  const readers: number[][] = nodes.map(() => []);
  const unknown: { field: string; description: string }[] = [];
  for (const [position, node] of nodes.entries()) {
    for (const [at, input] of node.inputs.entries()) {
      const upstream = positions.get(input.nodeId);
      if (upstream === undefined) {
        const field = `graph.nodes[${position}].inputs[${at}].node_id`;
        unknown.push({ field, description: `${input.nodeId} is not in the graph` });
        continue;
      }
      waitsFor[position]! += 1;
      readers[upstream]!.push(position);
    }
  }
  if (unknown.length > 0) {
    const message = "an input is not in the graph";
    throw refusal("UNKNOWN_DEPENDENCY", message, unknown.slice(0, namedMax));
  }
  return { waitsFor, readers };
}

function refusal(
  reason: "INVALID_FIELD" | "UNKNOWN_DEPENDENCY" | "GRAPH_HAS_CYCLE",
  message: string,
  fields: { field: string; description: string }[],
): QmtlError {
  return new QmtlError(reason, message, { fields });
}

/** Smallest position first. */
class PositionHeap {
  readonly #items: number[] = [];

  constructor(items: readonly number[]) {
    for (const item of items) this.push(item);
  }

  push(item: number): void {
    const items = this.#items;
    let at = items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (items[parent]! <= items[at]!) break;
      [items[parent], items[at]] = [items[at]!, items[parent]!];
      at = parent;
    }
  }

  pop(): number | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (first === undefined || last === undefined || items.length === 0) return first;
    items[0] = last;
    for (let at = 0; ; ) {
      const left = 2 * at + 1;
      if (left >= items.length) break;
      const least = left + 1 < items.length && items[left + 1]! < items[left]! ? left + 1 : left;
      if (items[at]! <= items[least]!) break;
      [items[least], items[at]] = [items[at]!, items[least]!];
      at = least;
    }
    return first;
  }
}
