import {
  assignIds,
  compileStrategy,
  type IdentifiedGraph,
  type IdentifiedNode,
  PositionTargetNode,
  Strategy,
} from "../strategy/index.ts";
import { type HashCode, makeCodeHasher, makeNodeHasher } from "./node-hasher.ts";
import { modulePathOf, type StrategyClass } from "./strategy-module.ts";

export interface IdentifyOptions {
  readonly worldId: string;
  /** File the strategy is written in, as a path or `import.meta.url`. @default its class's `module` */
  readonly module?: string | undefined;
}

/** A target position a strategy declares. */
export interface DeclaredTarget {
  readonly nodeId: string;
  readonly name: string;
  readonly node: PositionTargetNode;
}

/** A strategy with its nodes declared, compiled and named by their canonical ids. */
export interface IdentifiedStrategy {
  readonly strategy: Strategy;
  readonly graph: IdentifiedGraph;
  /** In the order of the graph; nodes of equal content are one. */
  readonly targets: readonly DeclaredTarget[];
  /** Hash of any node's code, for the wire. */
  readonly hashCode: HashCode;
}

/**
 * Declares a strategy's nodes and gives them their ids: the same on every machine and from every toolchain.
 *
 * @throws {DeclarationError | CodeHashError | StrategyRunError} naming the node, field or function.
 */
export function identifyStrategy(
  given: StrategyClass | Strategy,
  options: IdentifyOptions,
): IdentifiedStrategy {
  const strategy = given instanceof Strategy ? given : new given();
  const compiled = compileStrategy(strategy, { worldId: options.worldId });
  const hashCode = makeCodeHasher(strategy.name, modulePathOf(strategy, options.module));
  const graph = assignIds(compiled, makeNodeHasher(hashCode));
  return { strategy, graph, targets: graph.nodes.flatMap(targetOf), hashCode };
}

function targetOf({ id, declared }: IdentifiedNode): DeclaredTarget[] {
  const { node, name } = declared;
  return node instanceof PositionTargetNode ? [{ nodeId: id, name, node }] : [];
}
