import {
  blake3Hex,
  CodeHashError,
  type ComputeFunction,
  nodeId,
  openCodeHasher,
  parseNodeId,
} from "@qmtl/core/canonical";
import type { HashableNode, HashNode, NodeCode } from "../strategy/index.ts";
import { StrategyRunError } from "./strategy-run-error.ts";

/** The code hash of a node: of its function's meaning, or of a built-in's name and version. */
export type HashCode = (code: NodeCode) => string;

/**
 * Hashes the code of one strategy's nodes.
 *
 * @param modulePath file the functions are written in; needed as soon as a node has one
 */
export function makeCodeHasher(strategyName: string, modulePath: string | undefined): HashCode {
  let hashFunction: ReturnType<typeof openCodeHasher> | undefined;
  const known = new Map<ComputeFunction, string>();
  return (code) => {
    if (code.kind === "builtin")
      return `blake3:${blake3Hex(`builtin:${code.name}@${code.version}`)}`;
    if (modulePath === undefined) throw unknownModule(strategyName);
    const before = known.get(code.fn);
    if (before !== undefined) return before;
    hashFunction ??= openCodeHasher({ modulePath });
    const { hash } = hashFunction(code.fn);
    known.set(code.fn, hash);
    return hash;
  };
}

/** Gives nodes their canonical ids. */
export function makeNodeHasher(hashCode: HashCode): HashNode {
  const hashOf = (node: HashableNode, name: string): string => {
    try {
      return hashCode(node.code);
    } catch (error) {
      throw error instanceof CodeHashError ? error.ofNode(name) : error;
    }
  };
  return (node, name) =>
    nodeId({
      node_type: node.node_type,
      interval_seconds: node.interval_seconds,
      period: node.period,
      params: node.params,
      inputs: node.inputs.map(({ port, node_id }) => ({ port, node_id: parseNodeId(node_id) })),
      schema_compat_id: node.schema_compat_id,
      code_hash: hashOf(node, name),
    });
}

function unknownModule(strategyName: string): StrategyRunError {
  const fix = "add `static readonly module = import.meta.url;` to the class, or use loadStrategy";
  const message = `strategy "${strategyName}" has functions of its own and its file is not known: ${fix}`;
  return new StrategyRunError("MODULE_UNKNOWN", message);
}
