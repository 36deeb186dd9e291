import { varyingName } from "./bar-interval.ts";
import { blake3Hex } from "./blake3.ts";
import { IdentityError } from "./identity-error.ts";
import { jcs } from "./jcs.ts";
import { assertNoReservedParams } from "./reserved-params.ts";

/** `"blake3:"` + 64 hex digits: what a node computes, the same on every machine and in every world. */
export type NodeId = string & { readonly __brand: "NodeId" };

/** One input of a node. The order of inputs is part of the id: `a − b` is not `b − a`. */
export interface CanonicalInput {
  readonly port: string;
  readonly node_id: NodeId;
}

/** All that a node id is made of; the names are those of the hashed JSON. */
export interface CanonicalNode {
  /** Kind of node, e.g. `ProcessingNode`; not empty. */
  readonly node_type: string;
  /**
   * Bar length in whole seconds, at least 1. What stands for `1mo`, `1q` or `1y` is hashed as `"interval": "1mo"` in its
   * place.
   */
  readonly interval_seconds: number;
  /** Window in bars, at least 1. */
  readonly period: number;
  /**
   * JSON data. Sets (tags, queries) must come sorted by UTF-16 code unit, without duplicates. Reserved names are
   * refused.
   */
  readonly params: unknown;
  /** In the declared order. */
  readonly inputs: readonly CanonicalInput[];
  readonly schema_compat_id: string;
  /** Hash of the compute function (`openCodeHasher`) or of a built-in's name and version; empty if there is no code. */
  readonly code_hash: string;
}

const nodeIdPattern = /^blake3:[0-9a-f]{64}$/;

/** True for text of the form of a node id, compute key or evaluation key. */
export function isBlake3Id(text: string): boolean {
  return nodeIdPattern.test(text);
}

/** @throws {IdentityError} `BAD_NODE` when the text does not have the form of a node id. */
export function parseNodeId(text: string, path = "node_id"): NodeId {
  if (!isBlake3Id(text)) throw bad(path, `is not "blake3:" and 64 hex digits: ${text}`);
  return text as NodeId;
}

/**
 * `"blake3:" + hex(BLAKE3(JCS({node_type, interval_seconds, period, params, inputs, schema_compat_id, code_hash})))`.
 *
 * Keys other than these seven in `node` do not enter the id.
 *
 * @throws {IdentityError} `BAD_NODE`, `RESERVED_PARAM` or `NOT_CANONICAL`, with the path of the offending field.
 */
export function nodeId(node: CanonicalNode): NodeId {
  return `blake3:${blake3Hex(canonicalNodeText(node))}` as NodeId;
}

/** The text that {@link nodeId} hashes. */
export function canonicalNodeText(node: CanonicalNode): string {
  if (node.node_type === "") throw bad("node_type", "is empty");
  assertCount(node.interval_seconds, "interval_seconds");
  assertCount(node.period, "period");
  const ports = new Set<string>();
  const inputs = node.inputs.map((input, index) => {
    if (ports.has(input.port)) throw bad(`inputs[${index}].port`, `"${input.port}" is used twice`);
    ports.add(input.port);
    return { port: input.port, node_id: parseNodeId(input.node_id, `inputs[${index}].node_id`) };
  });
  const interval = varyingName(node.interval_seconds);
  const text = jcs({
    node_type: node.node_type,
    ...(interval === undefined ? { interval_seconds: node.interval_seconds } : { interval }),
    period: node.period,
    params: node.params,
    inputs,
    schema_compat_id: node.schema_compat_id,
    code_hash: node.code_hash,
  });
  // After jcs, which has refused cycles.
  assertNoReservedParams(node.params);
  return text;
}

function assertCount(value: number, path: string): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw bad(path, `must be a whole number of at least 1, got ${value}`);
  }
}

function bad(path: string, what: string): IdentityError {
  return new IdentityError("BAD_NODE", path, `${path} ${what}`);
}
