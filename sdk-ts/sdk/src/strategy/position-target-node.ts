import { catalogue, type PositionTargetParams } from "@qmtl/core/nodes";
import { invalid } from "./declaration-error.ts";
import { checkBound, checkFinite } from "./fields.ts";
import { checkOptions, type OptionKeys } from "./option-keys.ts";
import { TargetNode, type TargetOptions, targetOptionKeys } from "./target-node.ts";

/** Bounds of the signal; an absent or `null` bound is never reached. At least one of the two `…Enter` is required. */
export interface PositionThresholds {
  /** From flat or short: signal ≥ this goes long. */
  readonly longEnter?: number | null | undefined;
  /** While long: signal < this goes flat; checked before `shortEnter`. */
  readonly longExit?: number | null | undefined;
  /** From flat or long: signal ≤ this goes short. */
  readonly shortEnter?: number | null | undefined;
  /** While short: signal > this goes flat; checked before `longEnter`. */
  readonly shortExit?: number | null | undefined;
}

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

const thresholdKeys: OptionKeys<PositionThresholds> = {
  longEnter: true,
  longExit: true,
  shortEnter: true,
  shortExit: true,
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
    if (thresholds === undefined) {
      throw invalid(`${at}.thresholds`, "is needed, as in { longEnter: 0.6, longExit: 0.2 }");
    }
    checkOptions(`${at}.thresholds`, thresholds, thresholdKeys);
    const bounds = {
      longEnter: checkBound(`${at}.thresholds.longEnter`, thresholds.longEnter),
      longExit: checkBound(`${at}.thresholds.longExit`, thresholds.longExit),
      shortEnter: checkBound(`${at}.thresholds.shortEnter`, thresholds.shortEnter),
      shortExit: checkBound(`${at}.thresholds.shortExit`, thresholds.shortExit),
      longWeight: checkFinite(`${at}.longWeight`, longWeight),
      shortWeight: checkFinite(`${at}.shortWeight`, shortWeight),
      holdWeight: checkFinite(`${at}.holdWeight`, holdWeight),
    };
    checkOrder(bounds);
    const params = {
      instrument,
      long_enter: bounds.longEnter,
      long_exit: bounds.longExit,
      short_enter: bounds.shortEnter,
      short_exit: bounds.shortExit,
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

function checkOrder({ longEnter, longExit, shortEnter, shortExit }: PositionTargetParams): void {
  const at = "PositionTargetNode.thresholds";
  if (longEnter === null && shortEnter === null) throw invalid(at, "needs longEnter or shortEnter");
  const isAbove = (a: number | null, b: number | null) => a !== null && b !== null && a > b;
  if (isAbove(longExit, longEnter)) throw invalid(`${at}.longExit`, "must not be above longEnter");
  if (isAbove(shortEnter, shortExit))
    throw invalid(`${at}.shortExit`, "must not be below shortEnter");
  if (longEnter !== null && longEnter === shortEnter)
    throw invalid(`${at}.shortEnter`, "must be below longEnter");
  if (isAbove(shortEnter, longEnter)) throw invalid(`${at}.shortEnter`, "must be below longEnter");
}
