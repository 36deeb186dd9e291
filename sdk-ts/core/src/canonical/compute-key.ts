import { blake3Hex } from "./blake3.ts";
import { IdentityError } from "./identity-error.ts";
import { jcs } from "./jcs.ts";
import { type NodeId, parseNodeId } from "./node-id.ts";

/** Key of a node's outputs in one compute context. Caches, node leases and queues are keyed by it. */
export type ComputeKey = string & { readonly __brand: "ComputeKey" };

/** Where a computation runs. */
export type ExecutionDomain = "backtest" | "dryrun" | "live" | "shadow";

const executionDomains: ReadonlySet<string> = new Set(["backtest", "dryrun", "live", "shadow"]);

export interface ComputeContext {
  /** Not empty: only source nodes have no world, see {@link sourceComputeKey}. */
  readonly worldId: string;
  readonly executionDomain: ExecutionDomain;
  /** Dataset snapshot id of backtest and dryrun; `""` for live and shadow, which have none. */
  readonly asOf: string;
  /** Not empty. */
  readonly partition: string;
}

/** Partition of everything that is not split. */
export const globalPartition = "global";

/**
 * `"blake3:" + hex(BLAKE3(JCS([node_id, world_id, execution_domain, as_of, partition])))`.
 *
 * @throws {IdentityError} `BAD_CONTEXT` on an empty world or partition or an unknown domain: a key with a missing part
 * would be shared by contexts that must not meet.
 */
export function computeKey(key: { readonly nodeId: NodeId } & ComputeContext): ComputeKey {
  parseNodeId(key.nodeId, "nodeId");
  if (key.worldId === "") throw bad("worldId", "is empty");
  if (key.partition === "") throw bad("partition", "is empty");
  assertDomain(key.executionDomain);
  return hashed([key.nodeId, key.worldId, key.executionDomain, key.asOf, key.partition]);
}

/** Compute key of a pure source node, shared by all worlds: world, domain and as-of `""`, partition `global`. */
export function sourceComputeKey(nodeId: NodeId): ComputeKey {
  return hashed([parseNodeId(nodeId, "nodeId"), "", "", "", globalPartition]);
}

function hashed(parts: readonly string[]): ComputeKey {
  return `blake3:${blake3Hex(jcs(parts))}` as ComputeKey;
}

function assertDomain(domain: string): void {
  if (!executionDomains.has(domain)) throw bad("executionDomain", `is unknown: "${domain}"`);
}

function bad(path: string, what: string): IdentityError {
  return new IdentityError("BAD_CONTEXT", path, `${path} ${what}`);
}
