/** Why a graph cannot be run. */
export type GraphErrorReason =
  | "GRAPH_HAS_CYCLE"
  | "UNKNOWN_DEPENDENCY"
  | "DUPLICATE_NODE"
  | "UNKNOWN_NODE"
  | "UNKNOWN_OUTPUT"
  | "SOURCE_NOT_SUPPLIED"
  | "INTERVAL_MISMATCH"
  | "LOOP_ACROSS_CLOCKS";

/** A graph is refused whole; the message names the nodes. */
export class GraphError extends Error {
  override readonly name = "GraphError";
  readonly reason: GraphErrorReason;

  constructor(reason: GraphErrorReason, message: string) {
    super(message);
    this.reason = reason;
  }
}
