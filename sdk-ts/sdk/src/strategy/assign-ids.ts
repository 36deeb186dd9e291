import type { CanonicalNode, DeclaredNode, StrategyGraph } from "./compile.ts";
import { DeclarationError } from "./declaration-error.ts";

/** What a node id is the hash of; `code` is turned into a code hash by the hasher. */
export interface HashableNode extends Omit<CanonicalNode, "inputs"> {
  /** Ids of what it reads, in port order. */
  readonly inputs: readonly { readonly port: string; readonly node_id: string }[];
}

/** Gives the id of a node. Must depend on the first argument alone; the name is for messages. */
export type HashNode = (node: HashableNode, name: string) => string;

/** A node with its id. Declarations with equal content are one node. */
export interface IdentifiedNode {
  /** `"blake3:"` and 64 hex digits. */
  readonly id: string;
  /** As it was declared; the first declaration where several are equal. */
  readonly declared: DeclaredNode;
  /** What the id is the hash of. */
  readonly hashable: HashableNode;
}

/** A strategy's nodes with ids, inputs before readers, otherwise by id: the same for every order of declaration. */
export interface IdentifiedGraph {
  /** The strategy's name. */
  readonly strategyName: string;
  /** Inputs before readers, otherwise by id. */
  readonly nodes: readonly IdentifiedNode[];
  /** Ids of the nodes nothing reads. */
  readonly leaves: readonly string[];
  /** @returns the id of a declared node of this graph */
  idOf(node: DeclaredNode): string;
}

/**
 * Hashes every node, inputs first.
 * @throws {DeclarationError} `DUPLICATE_NAME` when nodes of different content have one name (I13).
 */
export function assignIds(graph: StrategyGraph, hashNode: HashNode): IdentifiedGraph {
  const ids = new Map<DeclaredNode, string>();
  const byId = new Map<string, IdentifiedNode>();
  const depth = new Map<string, number>();
  for (const declared of graph.nodes) {
    const { inputs, ...rest } = declared.canonical();
    const withIds = inputs.map(({ port, node }) => ({ port, node_id: ids.get(node)! }));
    const hashable: HashableNode = { ...rest, inputs: withIds };
    const id = hashNode(hashable, declared.name);
    ids.set(declared, id);
    if (!byId.has(id)) byId.set(id, { id, declared, hashable });
    depth.set(id, 1 + Math.max(-1, ...withIds.map((input) => depth.get(input.node_id)!)));
  }
  checkNames(byId.values());
  const nodes = [...byId.values()].sort(
    (a, b) => depth.get(a.id)! - depth.get(b.id)! || (a.id < b.id ? -1 : 1),
  );
  const leaves = [...new Set(graph.leaves.map((leaf) => ids.get(leaf)!))].sort();
  return { strategyName: graph.strategyName, nodes, leaves, idOf: (node) => ids.get(node)! };
}

function checkNames(nodes: Iterable<IdentifiedNode>): void {
  const names = new Set<string>();
  for (const { declared } of nodes) {
    if (names.has(declared.name)) {
      throw new DeclarationError(
        "DUPLICATE_NAME",
        `"${declared.name}"`,
        "is the name of two nodes that compute different things; rename one of them",
      );
    }
    names.add(declared.name);
  }
}
