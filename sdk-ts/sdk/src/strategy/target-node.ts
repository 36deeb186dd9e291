import { BuiltinNode } from "./builtin-node.ts";
import type { StrategyNode } from "./strategy-node.ts";

/** A node whose value is the target position of an instrument, a fraction of the strategy's capital. */
export abstract class TargetNode<P = unknown> extends BuiltinNode<P> {
  /** Instrument of the target. */
  abstract readonly instrument: string;
  /** Largest absolute value of the target. */
  abstract readonly largestWeight: number;

  /** @returns what the signal must be for the target to change, for messages: `at longEnter 0.6 or above` */
  abstract whatMoves(): string;

  override defaultName(nameOf: (node: StrategyNode) => string): string {
    return `target(${nameOf(this.inputs[0]!.node)},${this.instrument})`;
  }
}
