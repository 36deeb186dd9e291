import type { NodeParams, SideBounds } from "@qmtl/core/nodes";
import { invalid } from "./declaration-error.ts";
import { checkBound } from "./fields.ts";
import { checkOptions, type OptionKeys } from "./option-keys.ts";

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

const thresholdKeys: OptionKeys<PositionThresholds> = {
  longEnter: true,
  longExit: true,
  shortEnter: true,
  shortExit: true,
};

/**
 * Checks the bounds of a signal.
 *
 * @param at name in the error, e.g. `PositionTargetNode.thresholds`
 * @throws {DeclarationError} naming the bound.
 */
export function checkThresholds(at: string, thresholds: PositionThresholds): SideBounds {
  if (thresholds === undefined) {
    throw invalid(at, "is needed, as in { longEnter: 0.6, longExit: 0.2 }");
  }
  checkOptions(at, thresholds, thresholdKeys);
  const bounds = {
    longEnter: checkBound(`${at}.longEnter`, thresholds.longEnter),
    longExit: checkBound(`${at}.longExit`, thresholds.longExit),
    shortEnter: checkBound(`${at}.shortEnter`, thresholds.shortEnter),
    shortExit: checkBound(`${at}.shortExit`, thresholds.shortExit),
  };
  checkOrder(at, bounds);
  return bounds;
}

/** The bounds as they are part of a node id. */
export function thresholdParams(bounds: SideBounds): NodeParams {
  return {
    long_enter: bounds.longEnter,
    long_exit: bounds.longExit,
    short_enter: bounds.shortEnter,
    short_exit: bounds.shortExit,
  };
}

function checkOrder(at: string, { longEnter, longExit, shortEnter, shortExit }: SideBounds): void {
  if (longEnter === null && shortEnter === null) throw invalid(at, "needs longEnter or shortEnter");
  const isAbove = (a: number | null, b: number | null) => a !== null && b !== null && a > b;
  if (isAbove(longExit, longEnter)) throw invalid(`${at}.longExit`, "must not be above longEnter");
  if (isAbove(shortEnter, shortExit))
    throw invalid(`${at}.shortExit`, "must not be below shortEnter");
  if (longEnter !== null && longEnter === shortEnter)
    throw invalid(`${at}.shortEnter`, "must be below longEnter");
  if (isAbove(shortEnter, longEnter)) throw invalid(`${at}.shortEnter`, "must be below longEnter");
}
