import { CodeHashError } from "@qmtl/core/canonical";
import {
  assignIds,
  DeclarationError,
  type IdentifiedGraph,
  type IdentifiedNode,
  Strategy,
  type StrategyGraph,
  TargetNode,
} from "../strategy/index.ts";
import { type HashCode, makeCodeHasher, makeNodeHasher } from "./node-hasher.ts";
import { refuseOtherCopy } from "./sdk-copies.ts";
import { compileTwice } from "./setup-twice.ts";
import { modulePathOf, type StrategyClass } from "./strategy-module.ts";
import { placeIn } from "./strategy-place.ts";
import { StrategyRunError } from "./strategy-run-error.ts";

/** What a strategy is told while it is named. */
export interface IdentifyOptions {
  /** World it sees as `this.worldId`; no part of any id. */
  readonly worldId: string;
  /** File the strategy is written in, as a path or `import.meta.url`. @default its class's `module` */
  readonly module?: string | undefined;
}

/** A target position a strategy declares. */
export interface DeclaredTarget {
  /** Id of the target node. */
  readonly nodeId: string;
  /** Name of the node, as messages and reports show it. */
  readonly name: string;
  /** As the author wrote it. */
  readonly node: TargetNode;
  /** Id of the node the target is made from. */
  readonly signalId: string;
  /** Name of the node the target is made from. */
  readonly signalName: string;
}

/** A strategy with its nodes declared, compiled and named by their canonical ids. */
export interface IdentifiedStrategy {
  /** The instance whose `setup` declared the nodes. */
  readonly strategy: Strategy;
  /** Its nodes with their ids. */
  readonly graph: IdentifiedGraph;
  /** In the order of the graph; nodes of equal content are one. */
  readonly targets: readonly DeclaredTarget[];
  /** Hash of any node's code, for the wire. */
  readonly hashCode: HashCode;
  /** Path of the file it is written in, where it is known. */
  readonly module: string | undefined;
}

/** A strategy with its nodes declared, before they have ids. */
export interface DeclaredStrategy {
  /** The instance whose `setup` declared the nodes. */
  readonly strategy: Strategy;
  /** Its nodes. */
  readonly compiled: StrategyGraph;
  /** Path of the file it is written in, where it is known. */
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
 * run twice, to see that it declares the same nodes.
 *
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

/** What plain JavaScript may hand over instead of a strategy. */
function checkStrategy(given: unknown): asserts given is StrategyClass | Strategy {
  if (given instanceof Strategy) return;
  if (typeof given === "function" && given.prototype instanceof Strategy) return;
  const what = typeof given === "function" ? `${given.name || "a function"}` : typeof given;
  const fix =
    "give a class that extends Strategy, or an instance of one; of a file, loadStrategy(file)";
  throw new StrategyRunError("STRATEGY_NOT_EXPORTED", `${what} is no strategy: ${fix}`);
}

function inPlace<T>(what: string, module: string | undefined, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw placed(error, what, module);
  }
}

/** The same refusal with its place; a failure of the author's own code as a refusal of the strategy. */
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
  const { node, name, inputs } = declared;
  if (!(node instanceof TargetNode)) return [];
  const signalId = hashable.inputs[0]!.node_id;
  return [{ nodeId: id, name, node, signalId, signalName: inputs[0]!.name }];
}
