import type { TradingCosts } from "../execution/index.ts";
import type { PositionTargetNode } from "../strategy/index.ts";

/** How a node set wants its target executed. What it leaves out comes from the run and the configuration. */
export interface NodesetExecution {
  /** Cash at the start, above 0, in the account's currency. @default the account's */
  readonly initialCash?: number;
  /** Fee and half spread of each order, basis points of notional. @default the account's */
  readonly costs?: TradingCosts;
  /** Leaves out fees and spread; the result and the report say so. @default false */
  readonly noCosts?: boolean;
  /** Fills market orders at the close they were decided on. Looks ahead: for comparison only. @default false */
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
