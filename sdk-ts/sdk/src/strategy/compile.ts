import { calendarName } from "@qmtl/core/intervals";
import type { NodeParams } from "@qmtl/core/nodes";
import { DeclarationError, invalid } from "./declaration-error.ts";
import { Strategy, type StrategyContext } from "./strategy.ts";
import type { NodeCode, StrategyNode } from "./strategy-node.ts";
import { StreamInput } from "./stream-input.ts";

const NAME_LENGTH_MAX = 200;

/** What a node id is made of, before the inputs have ids. */
export interface CanonicalNode {
  /** Kind of node, with the version of what its options mean from 2 on: `ProcessingNode/2`. */
  readonly node_type: string;
  /** Whole seconds, as `parseInterval` gives them. */
  readonly interval_seconds: number;
  /** Rows; 1 for streams. */
  readonly period: number;
  /** Params, with `on_missing` where a port does something else than `skip`. */
  readonly params: NodeParams;
  /** In port order. */
  readonly inputs: readonly { readonly port: string; readonly node: DeclaredNode }[];
  /** Type and names of its outputs. */
  readonly schema_compat_id: string;
  /** The code that computes it. */
  readonly code: NodeCode;
}

/** A node of a compiled strategy, with the strategy's defaults filled in. */
export interface DeclaredNode {
  /** The node as the author declared it. */
  readonly node: StrategyNode;
  /** Distinct within the strategy, except for nodes with equal content (checked when ids are assigned). */
  readonly name: string;
  /** Whole seconds, as `parseInterval` gives them. */
  readonly intervalSeconds: number;
  /** Rows in each of its windows. */
  readonly period: number;
  /** Upstream nodes in port order. */
  readonly inputs: readonly DeclaredNode[];
  /** @returns what its node id is made of */
  canonical(): CanonicalNode;
}

/** A strategy's declarations in topological order, ready for hashing. */
export interface StrategyGraph {
  /** The strategy's name. */
  readonly strategyName: string;
  /** Inputs before readers. */
  readonly nodes: readonly DeclaredNode[];
  /** Nodes that no other node reads: the results of the strategy. */
  readonly leaves: readonly DeclaredNode[];
}

/**
 * Runs `setup` and compiles the nodes that it added, with all nodes that these read.
 *
 * @param strategy the strategy
 * @param context what the strategy may know while it declares its nodes
 * @returns its nodes with the strategy's defaults filled in
 * @throws {DeclarationError} naming the node and field.
 */
export function compileStrategy(strategy: Strategy, context: StrategyContext): StrategyGraph {
  const added = Strategy.declare(strategy, context);
  if (added.length === 0) {
    const problem = "has no nodes; add them in setup() with addNodes or addNodeset";
    throw new DeclarationError("EMPTY_STRATEGY", `Strategy "${strategy.name}"`, problem);
  }
  const compiled = new Map<StrategyNode, DeclaredNode>();
  const names = new Set<string>();
  for (const node of declaredOrder(added)) {
    const inputs = node.inputs.map((input) => compiled.get(input.node)!);
    const name = chooseName(node, compiled, names);
    names.add(name);
    const intervalSeconds = intervalOf(node, name, inputs, strategy);
    if (node instanceof StreamInput) checkSchedule(node, name, intervalSeconds);
    const period = node.fixedPeriod ?? node.givenPeriod ?? strategy.defaultPeriod ?? 1;
    compiled.set(node, makeDeclared(node, name, intervalSeconds, period, inputs));
  }
  const nodes = [...compiled.values()];
  const read = new Set(nodes.flatMap((node) => node.inputs));
  return { strategyName: strategy.name, nodes, leaves: nodes.filter((node) => !read.has(node)) };
}

/** Inputs before readers. */
function declaredOrder(added: readonly StrategyNode[]): StrategyNode[] {
  const order = new Set<StrategyNode>();
  const stack = [...added].reverse();
  for (let node = stack.at(-1); node !== undefined; node = stack.at(-1)) {
    const open = node.inputs.filter((input) => !order.has(input.node));
    if (open.length === 0) {
      order.add(node);
      stack.pop();
    } else {
      for (const input of open) stack.push(input.node);
    }
  }
  return [...order];
}

function chooseName(
  node: StrategyNode,
  compiled: ReadonlyMap<StrategyNode, DeclaredNode>,
  names: ReadonlySet<string>,
): string {
  if (node.givenName !== undefined) return node.givenName;
  const made = node.defaultName((input) => compiled.get(input)!.name).slice(0, NAME_LENGTH_MAX - 6);
  let name = made;
  for (let k = 2; names.has(name); k++) name = `${made}#${k}`;
  return name;
}

function intervalOf(
  node: StrategyNode,
  name: string,
  inputs: readonly DeclaredNode[],
  strategy: Strategy,
): number {
  if (node.givenInterval !== undefined) return node.givenInterval;
  if (inputs.length > 0) return Math.min(...inputs.map((input) => input.intervalSeconds));
  if (strategy.defaultInterval !== undefined) return strategy.defaultInterval;
  const problem = 'is needed, as in interval: "1d"; or give the strategy a defaultInterval';
  throw invalid(`${node.nodeType} "${name}".interval`, problem);
}

/** Buckets of a continuous schedule are counted from 1970 on in equal lengths. */
function checkSchedule(node: StreamInput, name: string, intervalSeconds: number): void {
  const interval = calendarName(intervalSeconds);
  if (node.schedule !== "continuous" || interval === undefined) return;
  const problem = `cannot be continuous: bars of ${interval} have no continuous schedule`;
  throw invalid(`StreamInput "${name}".schedule`, problem);
}

function makeDeclared(
  node: StrategyNode,
  name: string,
  intervalSeconds: number,
  period: number,
  inputs: readonly DeclaredNode[],
): DeclaredNode {
  return {
    node,
    name,
    intervalSeconds,
    period,
    inputs,
    canonical: () => ({
      node_type:
        node.semanticsVersion === 1 ? node.nodeType : `${node.nodeType}/${node.semanticsVersion}`,
      interval_seconds: intervalSeconds,
      period,
      params:
        node.onMissing.param === undefined
          ? node.params
          : { ...node.params, on_missing: node.onMissing.param },
      inputs: node.inputs.map(({ port }, k) => ({ port, node: inputs[k]! })),
      schema_compat_id: `f64:${node.outputs.join(",")}`,
      code: node.code,
    }),
  };
}
