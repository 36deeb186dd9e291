import { catalogue, type PositionTargetParams } from "@qmtl/core/nodes";
import { checkFinite } from "./fields.ts";
import { checkOptions, type OptionKeys } from "./option-keys.ts";
import {
  checkThresholds,
  type PositionThresholds,
  thresholdParams,
} from "./position-thresholds.ts";
import { TargetNode, type TargetOptions, targetOptionKeys } from "./target-node.ts";

/** Declaration of a {@link PositionTargetNode}. */
export interface PositionTargetNodeOptions extends TargetOptions {
  /** When to be long, short or flat, in units of the signal. */
  readonly thresholds: PositionThresholds;
  /** Target while long, a fraction of the strategy's capital. @default 1 */
  readonly longWeight?: number | undefined;
  /** Target while short, a fraction of the strategy's capital. @default -1 */
  readonly shortWeight?: number | undefined;
  /** Target while flat, a fraction of the strategy's capital. @default 0 */
  readonly holdWeight?: number | undefined;
}

const optionKeys: OptionKeys<PositionTargetNodeOptions> = {
  ...targetOptionKeys,
  thresholds: true,
  longWeight: true,
  shortWeight: true,
  holdWeight: true,
};

/** Turns a signal into the target position of one instrument, with hysteresis. A NaN signal keeps the side. */
export class PositionTargetNode extends TargetNode<PositionTargetParams> {
  readonly largestWeight: number;

  /**
   * @param options signal, instrument and thresholds
   * @throws {DeclarationError} naming the field.
   */
  constructor(options: PositionTargetNodeOptions) {
    const at = "PositionTargetNode";
    checkOptions(at, options, optionKeys);
    const { instrument, thresholds, longWeight = 1, shortWeight = -1, holdWeight = 0 } = options;
    const sides = checkThresholds(`${at}.thresholds`, thresholds);
    const bounds = {
      ...sides,
      longWeight: checkFinite(`${at}.longWeight`, longWeight),
      shortWeight: checkFinite(`${at}.shortWeight`, shortWeight),
      holdWeight: checkFinite(`${at}.holdWeight`, holdWeight),
    };
    const params = {
      instrument,
      ...thresholdParams(sides),
      long_weight: longWeight,
      short_weight: shortWeight,
      hold_weight: holdWeight,
    };
    super(at, catalogue.position_target, bounds, params, options);
    this.largestWeight = Math.max(...[longWeight, shortWeight, holdWeight].map(Math.abs));
    this.checkDrift(at);
  }

  whatMoves(): string {
    const { long_enter: long, short_enter: short } = this.params;
    const bounds = [
      ...(typeof long === "number" ? [`at longEnter ${long} or above`] : []),
      ...(typeof short === "number" ? [`at shortEnter ${short} or below`] : []),
    ];
    return bounds.join(" nor ");
  }
}
