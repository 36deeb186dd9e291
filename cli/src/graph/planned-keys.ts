import type { Node, StrategyGraph } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { type ComputeContext, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  computeKey,
  coneOfEach,
  type ExecutionDomain as DomainName,
  dataOfCone,
  parseNodeId,
  sourceComputeKey,
} from "@qmtl/core/canonical";
import { CommandError } from "../exit-codes.ts";

/** A node and the key it is computed under. */
export interface PlannedKey {
  readonly nodeId: string;
  /** Empty for a source, which all worlds share. */
  readonly worldId: string;
  readonly computeKey: string;
}

const domainNames: ReadonlyMap<ExecutionDomain, DomainName> = new Map([
  [ExecutionDomain.BACKTEST, "backtest"],
  [ExecutionDomain.DRYRUN, "dryrun"],
  [ExecutionDomain.LIVE, "live"],
  [ExecutionDomain.SHADOW, "shadow"],
]);

/**
 * Compute keys that a checked graph has in the contexts of its strategy, inputs before readers: those the platform
 * makes when the strategy is submitted.
 */
export function plannedKeys(
  { nodes }: StrategyGraph,
  contexts: readonly ComputeContext[],
): PlannedKey[] {
  const ordered = inputsFirst(nodes);
  const cones = coneOfEach(ordered);
  return ordered.flatMap((node) => {
    const { nodeId } = node;
    const id = parseNodeId(nodeId);
    if (node.source !== undefined && node.inputs.length === 0)
      return [{ nodeId, worldId: "", computeKey: sourceComputeKey(id) }];
    return contexts.map((context) => {
      const { worldId, partition } = context;
      const pins = Object.fromEntries(context.pins.map((pin) => [pin.source, pin.fingerprint]));
      const { asOf } = dataOfCone({ asOf: context.asOf, pins }, cones.get(nodeId)!);
      const executionDomain = domainOf(context);
      const key = computeKey({ nodeId: id, worldId, executionDomain, asOf, partition });
      return { nodeId, worldId, computeKey: key };
    });
  });
}

function domainOf({ worldId, executionDomain }: ComputeContext): DomainName {
  const name = domainNames.get(executionDomain);
  if (name !== undefined) return name;
  throw new CommandError(`the answer names no domain for world ${worldId}`);
}

/** The nodes, each after its inputs. A checked graph has no cycle. */
function inputsFirst(nodes: readonly Node[]): Node[] {
  const waiting = new Map(nodes.map((node) => [node.nodeId, node.inputs.length]));
  const readers = new Map<string, Node[]>();
  for (const node of nodes)
    for (const { nodeId } of node.inputs) {
      const known = readers.get(nodeId);
      if (known === undefined) readers.set(nodeId, [node]);
      else known.push(node);
    }
  const ordered = nodes.filter(({ inputs }) => inputs.length === 0);
  // `ordered` grows while it is iterated.
  for (const { nodeId } of ordered)
    for (const reader of readers.get(nodeId) ?? []) {
      const left = (waiting.get(reader.nodeId) ?? 0) - 1;
      waiting.set(reader.nodeId, left);
      if (left === 0) ordered.push(reader);
    }
  return ordered;
}
