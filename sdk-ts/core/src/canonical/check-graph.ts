import { nodeIdsCrc32 } from "./node-ids-crc32.ts";

/** The part of a node that {@link checkGraph} looks at. */
export interface CheckedNode {
  readonly nodeId: string;
  readonly inputs: readonly {
    readonly nodeId: string;
    /** Reads an earlier row: it may close a loop. @default false */
    readonly delayed?: boolean | undefined;
  }[];
}

/** Something wrong with a graph. Fields are paths into it, such as `nodes[3].inputs[0].node_id`. */
export type GraphFinding =
  /** The node ids were damaged on the way. */
  | { readonly reason: "CRC_MISMATCH"; readonly field: string }
  /** An earlier node has the same id. */
  | { readonly reason: "DUPLICATE_NODE"; readonly field: string; readonly node: number }
  /** An input names no node of the graph. */
  | {
      readonly reason: "UNKNOWN_DEPENDENCY";
      readonly field: string;
      readonly node: number;
      readonly input: number;
    }
  /** The node is on a cycle, or reads one. */
  | { readonly reason: "GRAPH_HAS_CYCLE"; readonly field: string; readonly node: number };

export type GraphFindingReason = GraphFinding["reason"];

export interface GraphCheck {
  /** By reason as listed in {@link GraphFinding}, then by node and input. Empty for a sound graph. */
  readonly findings: readonly GraphFinding[];
  /**
   * Positions of the nodes so that each comes after its inputs; among those that could come next, in the order given.
   * Empty if an id is repeated or an input is unknown. Nodes on a cycle, or behind one, are left out.
   */
  readonly order: readonly number[];
}

/**
 * Checks the ids and edges of a graph. The caller decides which findings to refuse, and how; a server never relies on a
 * client's own check. Cycles are looked for only if no id is repeated and every input is known.
 *
 * @param crc32 CRC of the node ids that came with the graph; undefined if none came
 */
export function checkGraph(nodes: readonly CheckedNode[], crc32?: number): GraphCheck {
  const findings: GraphFinding[] = [];
  if (crc32 !== undefined && crc32 !== nodeIdsCrc32(nodes.map(({ nodeId }) => nodeId))) {
    findings.push({ reason: "CRC_MISMATCH", field: "node_ids_crc32" });
  }
  const positions = new Map<string, number>();
  const twice: GraphFinding[] = [];
  for (const [node, { nodeId }] of nodes.entries()) {
    if (positions.has(nodeId)) {
      twice.push({ reason: "DUPLICATE_NODE", field: `nodes[${node}].node_id`, node });
    } else positions.set(nodeId, node);
  }
  const { waitsFor, readers, unknown } = edgesOf(nodes, positions);
  findings.push(...twice, ...unknown);
  if (twice.length > 0 || unknown.length > 0) return { findings, order: [] };
  const order = inputsFirst(waitsFor, readers);
  if (order.length < nodes.length) {
    for (const [node, count] of waitsFor.entries()) {
      if (count > 0) {
        findings.push({ reason: "GRAPH_HAS_CYCLE", field: `nodes[${node}].inputs`, node });
      }
    }
  }
  return { findings, order };
}

/**
 * Positions of the nodes on one cycle, each before its reader, the first repeated at the end; empty without a cycle.
 *
 * @param nodes the nodes given to {@link checkGraph}
 * @param findings what it found
 */
export function cycleOf(
  nodes: readonly CheckedNode[],
  findings: readonly GraphFinding[],
): readonly number[] {
  const left = new Map<string, number>();
  for (const finding of findings) {
    if (finding.reason === "GRAPH_HAS_CYCLE") left.set(nodes[finding.node]!.nodeId, finding.node);
  }
  const path: number[] = [];
  // Every node left reads another node left, so the walk up the inputs must come back to a node of its path.
  for (let [at] = left.values(); at !== undefined; ) {
    const start = path.indexOf(at);
    if (start >= 0) return [...path.slice(start), at].reverse();
    path.push(at);
    const next = nodes[at]!.inputs.find(
      (input) => input.delayed !== true && left.has(input.nodeId),
    );
    at = next && left.get(next.nodeId);
  }
  return [];
}

function edgesOf(nodes: readonly CheckedNode[], positions: ReadonlyMap<string, number>) {
  const waitsFor = nodes.map(() => 0);
  const readers: number[][] = nodes.map(() => []);
  const unknown: GraphFinding[] = [];
  for (const [node, { inputs }] of nodes.entries()) {
    for (const [input, { nodeId, delayed }] of inputs.entries()) {
      const upstream = positions.get(nodeId);
      if (upstream === undefined) {
        const field = `nodes[${node}].inputs[${input}].node_id`;
        unknown.push({ reason: "UNKNOWN_DEPENDENCY", field, node, input });
      } else if (delayed !== true) {
        waitsFor[node]! += 1;
        readers[upstream]!.push(node);
      }
    }
  }
  return { waitsFor, readers, unknown };
}

/** Orders each node once all its inputs are ordered; what is never ready (on or behind a cycle) is left out. */
function inputsFirst(waitsFor: number[], readers: readonly (readonly number[])[]): number[] {
  const ready = new PositionHeap(waitsFor.flatMap((count, at) => (count === 0 ? [at] : [])));
  const ordered: number[] = [];
  for (let at = ready.pop(); at !== undefined; at = ready.pop()) {
    ordered.push(at);
    for (const reader of readers[at]!) {
      waitsFor[reader]! -= 1;
      if (waitsFor[reader] === 0) ready.push(reader);
    }
  }
  return ordered;
}

/** A binary heap: the smallest position comes out first. */
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
