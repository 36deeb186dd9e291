import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";

/** How a graph differs from a frozen one at one node. */
export interface GraphDifference {
  readonly kind: "changed" | "missing" | "new";
  /** Author's name of the node; its id when it has none. */
  readonly node: string;
  /** Id in the snapshot; empty for a new node. */
  readonly frozen: string;
  /** Id now; empty for a missing node. */
  readonly now: string;
  /** Parts of a changed node's id that are not the same. */
  readonly because: readonly string[];
}

/**
 * Differences between the nodes of a snapshot and the current ones, ordered by name. Equal ids are equal nodes,
 * whatever their names; among the others, two with the same name are one node that changed.
 */
export function graphDifferences(
  frozen: readonly Node[],
  now: readonly Node[],
): readonly GraphDifference[] {
  const frozenIds = new Set(frozen.map((node) => node.nodeId));
  const nowIds = new Set(now.map((node) => node.nodeId));
  const gone = frozen.filter((node) => !nowIds.has(node.nodeId));
  const come = new Map<string, Node>();
  for (const node of now) {
    if (frozenIds.has(node.nodeId)) continue;
    const label = labelOf(node);
    come.set(come.has(label) ? node.nodeId : label, node);
  }
  const frozenNames = namesOf(frozen);
  const nowNames = namesOf(now);
  const differences = gone.map((before): GraphDifference => {
    const node = labelOf(before);
    const after = come.get(node);
    come.delete(node);
    if (after === undefined)
      return { kind: "missing", node, frozen: before.nodeId, now: "", because: [] };
    const because = changedParts(before, after, frozenNames, nowNames);
    return { kind: "changed", node, frozen: before.nodeId, now: after.nodeId, because };
  });
  for (const [node, after] of come)
    differences.push({ kind: "new", node, frozen: "", now: after.nodeId, because: [] });
  return differences.toSorted((a, b) => (a.node < b.node ? -1 : 1));
}

type Names = ReadonlyMap<string, string>;

function changedParts(before: Node, after: Node, frozenNames: Names, nowNames: Names): string[] {
  const plain: [string, unknown, unknown][] = [
    ["node type", before.nodeType, after.nodeType],
    ["interval, s", before.intervalSeconds, after.intervalSeconds],
    ["period", before.period, after.period],
    ["schema", before.schemaCompatId, after.schemaCompatId],
  ];
  return [
    ...plain.filter(([, a, b]) => a !== b).map(([what, a, b]) => `${what}: ${a} -> ${b}`),
    ...changedParams(before.paramsJson, after.paramsJson),
    ...(before.codeHash === after.codeHash ? [] : ["its code"]),
    ...changedInputs(before, after, frozenNames, nowNames),
  ];
}

function changedParams(before: string, after: string): string[] {
  const [a, b] = [paramsOf(before), paramsOf(after)];
  const keys = [...new Set([...a.keys(), ...b.keys()])].sort();
  return keys
    .filter((key) => a.get(key) !== b.get(key))
    .map((key) => `param ${key}: ${a.get(key) ?? "(none)"} -> ${b.get(key) ?? "(none)"}`);
}

function paramsOf(json: string): Map<string, string> {
  const params: Record<string, unknown> = JSON.parse(json);
  return new Map(Object.entries(params).map(([key, value]) => [key, JSON.stringify(value)]));
}

/** What changed in a node's inputs; one that only follows a change further up is reported as such. */
function changedInputs(before: Node, after: Node, frozenNames: Names, nowNames: Names): string[] {
  const text = (node: Node, names: Names): string =>
    node.inputs.map(({ port, nodeId: id }) => `${port} = ${names.get(id) ?? id}`).join(", ");
  const [a, b] = [text(before, frozenNames), text(after, nowNames)];
  if (a !== b) return [`inputs: ${a || "(none)"} -> ${b || "(none)"}`];
  return after.inputs
    .filter(({ nodeId: id }, at) => id !== before.inputs[at]?.nodeId)
    .map(({ nodeId: id }) => `reads ${nowNames.get(id) ?? id}, which changed`);
}

function namesOf(nodes: readonly Node[]): Names {
  return new Map(nodes.map((node) => [node.nodeId, labelOf(node)]));
}

function labelOf(node: Node): string {
  return node.name || node.nodeId;
}
