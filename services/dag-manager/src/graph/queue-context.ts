import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import {
  type ComputeContext,
  type ComputeContextSchema,
  ExecutionDomain,
} from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  asOfNone,
  asOfPins,
  computeKey,
  dataOfCone,
  globalPartition,
  type PinnedData,
  parseNodeId,
  type SourceCone,
  sourceComputeKey,
  unpinnedSources,
} from "@qmtl/core/canonical";
import { QmtlError } from "@qmtl/sdk/rpc";

/**
 * A compute context: of a strategy, with all its pins, or of a node, with the pins of the sources it depends on.
 * Everything but the pins goes into the compute key. For source nodes world, domain and as-of are `""`.
 */
export interface QueueContext extends PinnedData {
  readonly worldId: string;
  readonly domain: "" | "backtest" | "dryrun" | "live" | "shadow";
  readonly partition: string;
}

/** The context of source nodes, shared by all worlds. */
export const sourceContext: QueueContext = {
  worldId: "",
  domain: "",
  asOf: "",
  pins: {},
  partition: globalPartition,
};

const domainNames: Readonly<Record<number, QueueContext["domain"]>> = {
  [ExecutionDomain.UNSPECIFIED]: "backtest",
  [ExecutionDomain.BACKTEST]: "backtest",
  [ExecutionDomain.DRYRUN]: "dryrun",
  [ExecutionDomain.LIVE]: "live",
  [ExecutionDomain.SHADOW]: "shadow",
};

const domainNumbers: Readonly<Record<QueueContext["domain"], ExecutionDomain>> = {
  "": ExecutionDomain.UNSPECIFIED,
  backtest: ExecutionDomain.BACKTEST,
  dryrun: ExecutionDomain.DRYRUN,
  live: ExecutionDomain.LIVE,
  shadow: ExecutionDomain.SHADOW,
};

/**
 * Reads a context from a request: an unspecified domain means backtest, an empty partition `global`. The as-of is made
 * from the pins; without pins it is the text that was given, or `none`. Live and shadow have neither as-of nor pins.
 *
 * @throws {QmtlError} CONTEXT_INCOMPLETE without a world; INVALID_FIELD for a source that is pinned twice.
 */
export function queueContext(context: ComputeContext, field: string): QueueContext {
  if (context.worldId === "") {
    throw new QmtlError("CONTEXT_INCOMPLETE", "a compute context names no world", {
      fields: [{ field: `${field}.world_id`, description: "is empty" }],
    });
  }
  const domain = domainNames[context.executionDomain] ?? "backtest";
  const partition = context.partition === "" ? globalPartition : context.partition;
  const data = domain === "live" || domain === "shadow" ? noData : dataOf(context, field);
  return { worldId: context.worldId, domain, partition, ...data };
}

const noData: PinnedData = { asOf: "", pins: {} };

function dataOf(context: ComputeContext, field: string): PinnedData {
  const pins = Object.fromEntries(context.pins.map((pin) => [pin.source, pin.fingerprint]));
  if (Object.keys(pins).length < context.pins.length) {
    throw new QmtlError("INVALID_FIELD", "a compute context pins a source twice", {
      fields: [{ field: `${field}.pins`, description: "names a source twice" }],
    });
  }
  if (context.pins.length > 0) return { asOf: asOfPins(pins), pins };
  return { asOf: context.asOf === "" ? asOfNone : context.asOf, pins };
}

/**
 * The context of a node of a strategy: world, domain and partition are the strategy's; as-of and pins are those of the
 * sources that the node depends on, its cone.
 *
 * @throws {QmtlError} CONTEXT_INCOMPLETE when a source of the cone is not pinned.
 */
export function nodeContext(of: QueueContext, cone: SourceCone): QueueContext {
  const [unpinned] = unpinnedSources(of, cone);
  if (unpinned !== undefined) {
    const message = `the context in world ${of.worldId} does not pin source ${unpinned}`;
    throw new QmtlError("CONTEXT_INCOMPLETE", message, {
      fields: [{ field: "contexts.pins", description: `has no entry for ${unpinned}` }],
      metadata: { source: unpinned },
    });
  }
  return { ...of, ...dataOfCone(of, cone) };
}

/** The context as a message; its pins ordered by source. */
export function contextMessage(
  context: QueueContext,
): MessageInitShape<typeof ComputeContextSchema> {
  const { worldId, domain, asOf, partition } = context;
  const pins = Object.entries(context.pins)
    .map(([source, fingerprint]) => ({ source, fingerprint }))
    .sort((a, b) => (a.source < b.source ? -1 : 1));
  return { worldId, executionDomain: domainNumbers[domain], asOf, partition, pins };
}

/** Reads the stored name of a domain. */
export function domainOf(name: string): QueueContext["domain"] {
  return name in domainNumbers ? (name as QueueContext["domain"]) : "backtest";
}

export function isSameContext(a: QueueContext, b: QueueContext): boolean {
  const isSameWorld = a.worldId === b.worldId && a.partition === b.partition;
  return isSameWorld && a.domain === b.domain && a.asOf === b.asOf && areSamePins(a, b);
}

function areSamePins(a: QueueContext, b: QueueContext): boolean {
  const pins = Object.entries(a.pins);
  if (pins.length !== Object.keys(b.pins).length) return false;
  return pins.every(([source, fingerprint]) => b.pins[source] === fingerprint);
}

/** True for a source node without inputs: its rows are shared by all worlds. */
export function isSourceNode(node: Node): boolean {
  return node.source !== undefined && node.inputs.length === 0;
}

/** The compute key of a node in its own context. The key of a source node does not depend on the context. */
export function computeKeyOf(node: Node, context: QueueContext): string {
  const nodeId = parseNodeId(node.nodeId, "node_id");
  if (isSourceNode(node) || context.domain === "") return sourceComputeKey(nodeId);
  const { worldId, domain: executionDomain, asOf, partition } = context;
  return computeKey({ nodeId, worldId, executionDomain, asOf, partition });
}
