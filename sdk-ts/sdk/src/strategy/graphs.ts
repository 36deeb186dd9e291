// The graph of a strategy: compiled, identified, and ready to run.

export {
  assignIds,
  type HashableNode,
  type HashNode,
  type IdentifiedGraph,
  type IdentifiedNode,
} from "./assign-ids.ts";
export {
  type CanonicalNode,
  compileStrategy,
  type DeclaredNode,
  type StrategyGraph,
} from "./compile.ts";
export {
  type RuntimeGraphOptions,
  streamClock,
  type TagMatch,
  toRuntimeGraph,
} from "./runtime-graph.ts";
