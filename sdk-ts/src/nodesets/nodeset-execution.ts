import type { TradingCosts } from "../execution/index.ts";
import type { PositionTargetNode } from "../strategy/index.ts";

/** How a node set wants its target executed. What it leaves out comes from the run and the configuration. */
export interface NodesetExecution {
  readonly initialCash?: number;
  readonly costs?: TradingCosts;
  readonly noCosts?: boolean;
  readonly sameBarClose?: boolean;
}

const executions = new WeakMap<PositionTargetNode, NodesetExecution>();

/** Attaches the steps after a target to it. They are no part of its identity. */
export function setExecution(target: PositionTargetNode, execution: NodesetExecution): void {
  executions.set(target, execution);
}

/** The steps after a target that came from a node set, if it did. */
export function executionOf(target: PositionTargetNode): NodesetExecution | undefined {
  return executions.get(target);
}
