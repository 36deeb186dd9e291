import type { TradingCosts } from "@qmtl/core/execution";
import type { TargetNode } from "../strategy/index.ts";
import type { OptionKeys } from "../strategy/option-keys.ts";

/** How a node set wants its target executed. What it leaves out comes from the run and the configuration. */
export interface NodesetExecution {
  /** Cash at the start, above 0, in the account's currency. @default the account's */
  readonly initialCash?: number | undefined;
  /** Fee and half spread of each order, basis points of notional. @default the account's */
  readonly costs?: TradingCosts | undefined;
  /** Leaves out fees and spread; the result and the report say so. @default false */
  readonly noCosts?: boolean | undefined;
  /** Fills market orders at the close they were decided on. This looks ahead: for comparison only. @default false */
  readonly sameBarClose?: boolean | undefined;
}

/** Keys of {@link NodesetExecution} without `initialCash`, which is an option of the set itself. */
export const executionKeys: OptionKeys<Omit<NodesetExecution, "initialCash">> = {
  costs: true,
  noCosts: true,
  sameBarClose: true,
};

/** Keys of the costs of an order. */
export const costKeys: OptionKeys<TradingCosts> = { feeBps: true, halfSpreadBps: true };

const executions = new WeakMap<TargetNode, NodesetExecution>();

/** Attaches execution settings to a target. They are not part of its node id. */
export function setExecution(target: TargetNode, execution: NodesetExecution): void {
  executions.set(target, execution);
}

/** The execution settings of a target that came from a node set; undefined for any other target. */
export function executionOf(target: TargetNode): NodesetExecution | undefined {
  return executions.get(target);
}
