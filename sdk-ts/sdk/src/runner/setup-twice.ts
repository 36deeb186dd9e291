import {
  compileStrategy,
  DeclarationError,
  type DeclaredNode,
  type Strategy,
  type StrategyContext,
  type StrategyGraph,
} from "../strategy/index.ts";

/**
 * Runs a strategy's `setup` twice and gives the graph of the second time.
 *
 * A strategy that declares other nodes each time has no identity: its shared nodes would never be found again.
 *
 * @throws {DeclarationError} `NODES_DIFFER`, naming a node; what `setup` throws otherwise.
 */
export function compileTwice(strategy: Strategy, context: StrategyContext): StrategyGraph {
  const contents = new Map<string, number>();
  const before = contentsOf(compileStrategy(strategy, context), contents);
  const graph = compileStrategy(strategy, context);
  const after = contentsOf(graph, contents);
  const odd =
    [...after].find(([content]) => !before.has(content)) ??
    [...before].find(([content]) => !after.has(content));
  if (odd === undefined) return graph;
  const problem = `declared other nodes the second time, among them "${odd[1].name}"; it must not depend on a clock, chance or what it did before`;
  throw new DeclarationError("NODES_DIFFER", `${strategy.name}.setup`, problem);
}

/** The nodes by number of their content; equal content has one number in `known`, in whatever order it is declared. */
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
