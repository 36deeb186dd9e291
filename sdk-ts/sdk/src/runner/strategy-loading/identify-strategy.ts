import {
  blake3Hex,
  CodeHashError,
  type ComputeFunction,
  nodeId,
  openCodeHasher,
  parseNodeId,
} from "@qmtl/core/canonical";
import {
  assignIds,
  compileStrategy,
  type DeclaredNode,
  type HashableNode,
  type HashNode,
  type IdentifiedGraph,
  type IdentifiedNode,
  type StrategyGraph,
} from "../../strategy/graphs.ts";
import {
  DeclarationError,
  type NodeCode,
  Strategy,
  type StrategyContext,
  TargetNode,
} from "../../strategy/index.ts";
import { refuseOtherCopy } from "./sdk-copies.ts";
import { modulePathOf, type StrategyClass } from "./strategy-module.ts";
import { placeIn, StrategyRunError } from "./strategy-run-error.ts";

/** What a strategy is given while its nodes are declared and identified. */
export interface IdentifyOptions {
  /** World that the strategy sees as `this.worldId`; not part of any id. */
  readonly worldId: string;
  /** File in which the strategy is written: a path or `import.meta.url`. @default the `module` of its class */
  readonly module?: string | undefined;
}

/** A target node that a strategy declares. */
export interface DeclaredTarget {
  /** Id of the target node. */
  readonly nodeId: string;
  /** Name of the node, as messages and reports show it. */
  readonly name: string;
  /** As the author wrote it. */
  readonly node: TargetNode;
  /** Length of its buckets, milliseconds. */
  readonly intervalMs: number;
  /** Id of the node from which the target is made. */
  readonly signalId: string;
  /** Name of the node from which the target is made. */
  readonly signalName: string;
}

/** A strategy whose nodes have been declared, compiled and given their node ids. */
export interface IdentifiedStrategy {
  /** The instance whose `setup` declared the nodes. */
  readonly strategy: Strategy;
  /** Its nodes with their ids. */
  readonly graph: IdentifiedGraph;
  /** Its targets, in the order of the graph; nodes with equal content are one. */
  readonly targets: readonly DeclaredTarget[];
  /** Computes the code hash of a node, for the wire. */
  readonly hashCode: HashCode;
  /** Path of the file in which it is written, if that is known. */
  readonly module: string | undefined;
}

/** A strategy with its nodes declared, before they have ids. */
interface DeclaredStrategy {
  /** The instance whose `setup` declared the nodes. */
  readonly strategy: Strategy;
  /** Its nodes. */
  readonly compiled: StrategyGraph;
  /** Path of the file in which it is written, if that is known. */
  readonly module: string | undefined;
}

/**
 * Declares a strategy's nodes; `setup` is run twice, to see that it declares the same ones.
 *
 * @throws {DeclarationError | StrategyRunError} as {@link identifyStrategy}.
 */
export function declareStrategy(
  given: StrategyClass | Strategy,
  { worldId, module: path }: IdentifyOptions,
): DeclaredStrategy {
  const owner: unknown = given instanceof Strategy ? given.constructor : given;
  const module = typeof owner === "function" ? modulePathOf(owner, path) : path;
  refuseOtherCopy(given, module);
  checkStrategy(given);
  const strategy =
    given instanceof Strategy
      ? given
      : inPlace(`${given.name}: its constructor`, module, () => new given());
  const compiled = inPlace(`${strategy.constructor.name}: setup()`, module, () =>
    compileTwice(strategy, { worldId }),
  );
  return { strategy, compiled, module };
}

/**
 * Declares a strategy's nodes and gives them their ids: the same on every machine and from every toolchain. `setup` is
 * run twice, to check that it declares the same nodes.
 *
 * @param given a class that extends `Strategy`, or an instance of one
 * @param options world and module of the strategy
 * @returns the strategy with its graph and the ids of its nodes
 * @throws {DeclarationError | CodeHashError | StrategyRunError} naming the node, field or function, and the place in
 * the strategy's file where it is known. `STRATEGY_SETUP_FAILED` for anything else its constructor or `setup` throws.
 */
export function identifyStrategy(
  given: StrategyClass | Strategy,
  options: IdentifyOptions,
): IdentifiedStrategy {
  const { strategy, compiled, module } = declareStrategy(given, options);
  const hashCode = makeCodeHasher(strategy.name, module);
  const hashNode = makeNodeHasher(hashCode);
  const graph = inPlace(strategy.name, module, () => assignIds(compiled, hashNode));
  return { strategy, graph, targets: graph.nodes.flatMap(targetOf), hashCode, module };
}

/** Refuses what plain JavaScript may pass instead of a strategy. */
function checkStrategy(given: unknown): asserts given is StrategyClass | Strategy {
  if (given instanceof Strategy) return;
  if (typeof given === "function" && given.prototype instanceof Strategy) return;
  const what = typeof given === "function" ? `${given.name || "a function"}` : typeof given;
  const fix =
    "give a class that extends Strategy, or an instance of one; of a file, loadStrategy(file)";
  throw new StrategyRunError("STRATEGY_NOT_EXPORTED", `${what} is not a strategy: ${fix}`);
}

function inPlace<T>(what: string, module: string | undefined, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw placed(error, what, module);
  }
}

/** The same refusal with its place in the file; any other failure becomes a refusal of the strategy. */
function placed(error: unknown, what: string, module: string | undefined): unknown {
  const place = module === undefined ? undefined : placeIn(module, error);
  if (error instanceof DeclarationError) {
    if (place === undefined) return error;
    const { reason, field, problem } = error;
    return new DeclarationError(reason, field, problem, { cause: error, place });
  }
  if (error instanceof StrategyRunError || error instanceof CodeHashError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const where = place === undefined ? "" : ` (${place})`;
  const message = `${what} failed: ${text}${where}`;
  return new StrategyRunError("STRATEGY_SETUP_FAILED", message, { cause: error });
}

function targetOf({ id, declared, hashable }: IdentifiedNode): DeclaredTarget[] {
  const { node, name, inputs, intervalSeconds } = declared;
  const intervalMs = intervalSeconds * 1_000;
  if (!(node instanceof TargetNode)) return [];
  const signalId = hashable.inputs[0]!.node_id;
  return [{ nodeId: id, name, node, intervalMs, signalId, signalName: inputs[0]!.name }];
}

/**
 * Runs a strategy's `setup` twice and returns the graph of the second run.
 *
 * A strategy that declares different nodes each time has no stable ids: its shared nodes would never be found again.
 *
 * @throws {DeclarationError} `NODES_DIFFER`, naming a node; otherwise what `setup` throws.
 */
function compileTwice(strategy: Strategy, context: StrategyContext): StrategyGraph {
  const contents = new Map<string, number>();
  const before = contentsOf(compileStrategy(strategy, context), contents);
  const graph = compileStrategy(strategy, context);
  const after = contentsOf(graph, contents);
  const odd =
    [...after].find(([content]) => !before.has(content)) ??
    [...before].find(([content]) => !after.has(content));
  if (odd === undefined) return graph;
  const problem = `declared different nodes when it ran a second time, among them "${odd[1].name}"; it must not depend on a clock, chance or what it did before`;
  throw new DeclarationError("NODES_DIFFER", `${strategy.name}.setup`, problem);
}

/**
 * The nodes by a number for their content. Equal content has the same number in `known`, in any order of declaration.
 */
function contentsOf(graph: StrategyGraph, known: Map<string, number>): Map<number, DeclaredNode> {
  const numbers = new Map<DeclaredNode, number>();
  const found = new Map<number, DeclaredNode>();
  for (const node of graph.nodes) {
    const { inputs, code, ...rest } = node.canonical();
    const text = JSON.stringify([
      rest,
      inputs.map((input) => [input.port, numbers.get(input.node)]),
      code.kind === "function" ? String(code.fn) : [code.name, code.version],
    ]);
    const number = known.get(text) ?? known.size;
    known.set(text, number);
    numbers.set(node, number);
    found.set(number, node);
  }
  return found;
}

/** Computes the code hash of a node: of what its function computes, or of a built-in's name and version. */
type HashCode = (code: NodeCode) => string;

/**
 * Hashes the code of one strategy's nodes.
 *
 * @param modulePath file in which the functions are written; required once a node has a function
 */
function makeCodeHasher(strategyName: string, modulePath: string | undefined): HashCode {
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

/** Computes node ids, with the code hashed by `hashCode`. */
function makeNodeHasher(hashCode: HashCode): HashNode {
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
  const message = `strategy "${strategyName}" has functions of its own, but its file is not known: ${fix}`;
  return new StrategyRunError("MODULE_UNKNOWN", message);
}
