import {
  type CatalogueEntry,
  type NodeParams,
  type RebalancedTargetParams,
  rebalancedTarget,
} from "@qmtl/core/nodes";
import { BuiltinNode, type BuiltinOptions, builtinOptionKeys } from "./builtin-node.ts";
import { invalid } from "./declaration-error.ts";
import { checkName } from "./fields.ts";
import type { OptionKeys } from "./option-keys.ts";
import { type CheckedRebalance, checkRebalance, type Rebalance } from "./rebalance.ts";
import type { StrategyNode } from "./strategy-node.ts";

/** Declaration that every target has. */
export interface TargetOptions extends BuiltinOptions {
  /** Node of one column from which the target is made. */
  readonly signal: StrategyNode;
  /** Instrument of the target: an entry of `instruments:` in the configuration. */
  readonly instrument: string;
  /** When the weight is sized again while it stands. @default when the target changes, and only then */
  readonly rebalance?: Rebalance | undefined;
}

/** Keys of {@link TargetOptions}, for the lists of the targets. */
export const targetOptionKeys: OptionKeys<TargetOptions> = {
  ...builtinOptionKeys,
  signal: true,
  instrument: true,
  rebalance: true,
};

/** A node whose value is the target position of an instrument, a fraction of the strategy's capital. */
export abstract class TargetNode<P = unknown> extends BuiltinNode<P | RebalancedTargetParams<P>> {
  /** Instrument of the target. */
  readonly instrument: string;
  /** Largest absolute value of the target. */
  abstract readonly largestWeight: number;
  /** The target is sized again when its held weight strays by more than this; 0: never. */
  readonly drift: number;
  /** Index of the output with the row at which the target was last to be sized; −1: it has none. */
  readonly sizedRowOutput: number;

  /**
   * @param kind name of the class, for messages
   * @param entry entry of the catalogue that computes it without options
   * @param kernelParams parameters of that entry
   * @param params those that are part of its node id, without those of the options
   * @param options signal, instrument and options that every target has
   * @throws {DeclarationError} naming the field.
   */
  protected constructor(
    kind: string,
    entry: CatalogueEntry<P>,
    kernelParams: P,
    params: NodeParams,
    options: TargetOptions,
  ) {
    const { signal, instrument, rebalance: given, name, onMissing } = options;
    if (instrument === undefined) {
      throw invalid(`${kind}.instrument`, 'is needed: an entry of "instruments:" in qmtl.yml');
    }
    checkName(`${kind}.instrument`, instrument);
    const rebalance = given === undefined ? NONE : checkRebalance(`${kind}.rebalance`, given);
    const { period: every, series, drift } = rebalance;
    const isRebalanced = every !== undefined || series !== undefined;
    super(
      isRebalanced ? rebalancedTarget(entry, series !== undefined) : entry,
      series === undefined ? [signal] : [signal, series],
      isRebalanced ? { target: kernelParams, every } : kernelParams,
      { ...params, ...optionParams(rebalance) },
      { name, onMissing },
    );
    this.instrument = instrument;
    this.drift = drift;
    this.sizedRowOutput = this.outputs.indexOf("sized_row");
  }

  /** @returns what the signal must be for the target to change, for messages: `at longEnter 0.6 or above` */
  abstract whatMoves(): string;

  override defaultName(nameOf: (node: StrategyNode) => string): string {
    return `target(${nameOf(this.inputs[0]!.node)},${this.instrument})`;
  }
}

const NONE: CheckedRebalance = { period: undefined, series: undefined, drift: 0, params: {} };

/** A target without options has no params of theirs, so that its id is what it was before there were any. */
function optionParams({ params: rebalance }: CheckedRebalance): NodeParams {
  return Object.keys(rebalance).length === 0 ? {} : { rebalance };
}
