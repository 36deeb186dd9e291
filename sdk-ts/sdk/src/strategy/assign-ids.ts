import type { CanonicalNode, DeclaredNode, StrategyGraph } from "./compile.ts";
import { DeclarationError } from "./declaration-error.ts";

/** The content of which a node id is the hash; the hasher turns `code` into a code hash. */
export interface HashableNode extends Omit<CanonicalNode, "inputs"> {
  /** Ids of its inputs, in port order. */
  readonly inputs: readonly { readonly port: string; readonly node_id: string }[];
}

/** Computes the id of a node. The result must depend on the first argument only; the name is for messages. */
export type HashNode = (node: HashableNode, name: string) => string;

/** A node with its id. Declarations with equal content are one node. */
export interface IdentifiedNode {
  /** `"blake3:"` and 64 hex digits. */
  readonly id: string;
  /** The node as declared; the first declaration if several are equal. */
  readonly declared: DeclaredNode;
  /** The content of which the id is the hash. */
  readonly hashable: HashableNode;
}

/** A strategy's nodes with their ids. Their order does not depend on the order of declaration. */
export interface IdentifiedGraph {
  /** The strategy's name. */
  readonly strategyName: string;
  /** The nodes, each after its inputs: by depth, then by id. */
  readonly nodes: readonly IdentifiedNode[];
  /** Ids of the nodes that no other node reads. */
  readonly leaves: readonly string[];
  /** @returns the id of a declared node of this graph */
  idOf(node: DeclaredNode): string;
}

/**
 * Hashes every node, inputs first.
 * @throws {DeclarationError} `DUPLICATE_NAME` if nodes with different content have the same name (I13).
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
