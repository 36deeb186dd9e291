import { catalogue, type WeightTargetParams } from "@qmtl/core/nodes";
import { invalid } from "./declaration-error.ts";
import { checkFinite } from "./fields.ts";
import { checkOptions, type OptionKeys } from "./option-keys.ts";
import type { StrategyNode } from "./strategy-node.ts";
import {
  TargetNode,
  type TargetOptions,
  targetOptionKeys,
  type WeightBounds,
} from "./target-node.ts";

/** Declaration of a {@link WeightTargetNode}. */
export interface WeightTargetNodeOptions extends TargetOptions {
  /** Node of one column whose value is the target: 0.25 = a quarter of the capital long, −0.1 = a tenth short. */
  readonly signal: StrategyNode;
  /** Smallest target, 0 or below; a lower signal gives this one, and a note of the run says so. @default -1 */
  readonly weightMin?: number | undefined;
  /** Largest target, 0 or above; a higher signal gives this one, and a note of the run says so. @default 1 */
  readonly weightMax?: number | undefined;
  /** Smallest change of the target that takes effect, 0 or above; a signal of 0 always does. @default 0.01 */
  readonly step?: number | undefined;
}

const optionKeys: OptionKeys<WeightTargetNodeOptions> = {
  ...targetOptionKeys,
  weightMin: true,
  weightMax: true,
  step: true,
};

/**
 * Takes a signal as the target position itself, for strategies that size by it: a volatility target, a forecast. The
 * target is held within `weightMin` and `weightMax`, −1 and 1 unless given: a signal of −4 with `weightMax: 5` alone is a
 * target of −1. A backtest notes on how many bars it was held there; a run in a world reports it as a problem. The
 * target starts at 0; a NaN signal keeps the previous target. Every change leads to an order, so choose `step` with
 * care. A target that does not change is not sized again, so what is held drifts away from it with prices, unless
 * `rebalance` says otherwise.
 */
export class WeightTargetNode extends TargetNode<WeightTargetParams> {
  readonly largestWeight: number;
  override readonly bounds: WeightBounds;

  /**
   * @param options signal, instrument and limits of the target
   * @throws {DeclarationError} naming the field.
   */
  constructor(options: WeightTargetNodeOptions) {
    const at = "WeightTargetNode";
    checkOptions(at, options, optionKeys);
    const { instrument, weightMin = -1, weightMax = 1, step = 0.01 } = options;
    checkFinite(`${at}.weightMin`, weightMin);
    checkFinite(`${at}.weightMax`, weightMax);
    if (weightMin > weightMax) throw invalid(`${at}.weightMin`, "must not be above weightMax");
    if (weightMin > 0 || weightMax < 0) {
      throw invalid(
        `${at}.weight${weightMin > 0 ? "Min" : "Max"}`,
        "must include 0, which is flat",
      );
    }
    if (!(checkFinite(`${at}.step`, step) >= 0)) throw invalid(`${at}.step`, "must be 0 or above");
    const params = {
      instrument,
      weight_min: weightMin,
      weight_max: weightMax,
      step,
    };
    super(at, catalogue.weight_target, { weightMin, weightMax, step }, params, options);
    this.bounds = { min: weightMin, max: weightMax };
    this.largestWeight = Math.max(-weightMin, weightMax);
    this.checkDrift(at);
  }

  whatMoves(): string {
    const { step, weight_min: low, weight_max: high } = this.params;
    return `${Number(step)} or more away from the target, which is 0 at first, when held within ${Number(low)} to ${Number(high)}`;
  }
}
