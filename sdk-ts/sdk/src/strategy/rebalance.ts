import {
  parseRebalanceSchedule,
  type RebalanceSchedule,
  rebalanceScheduleText,
} from "@qmtl/core/nodes";
import { invalid } from "./declaration-error.ts";
import { checkOptions, type OptionKeys } from "./option-keys.ts";
import { StrategyNode } from "./strategy-node.ts";

/**
 * When a standing weight is sized again. A quantity is fixed when a target is sized; from then on the share of the
 * capital that is held drifts with prices. Without any of this a target is sized when its value changes, and only then.
 */
export interface Rebalance {
  /**
   * When the signal is taken; between, target and quantity stay, whatever the signal does. Each time it is taken the
   * target is sized, also if it has not changed. The first signal is taken at once; a bucket without one is passed over,
   * and the next that has one is taken instead.
   *
   * Text is a period in UTC: `4h` and other multiples of `s`, `m`, `h` and `d` since 1970, weeks from Monday to Sunday
   * (`1w`) or, of a market that rests at weekends, to Friday (`5d`), months (`1mo`), quarters (`1q`), years (`1y`).
   * Taken is the first bucket that ends at or after the end of the period. So of daily bars that end at midnight the
   * last one of January is taken for `1mo` if January 31 has one; otherwise it is the first one of February, because
   * without a calendar nobody can know that January ends without another bar. A period shorter than a bucket takes
   * every bucket.
   *
   * A node of one column says itself when: at every bucket where it is above 0. A node of a longer interval says so at
   * every bucket until its next one.
   *
   * @default every bucket is taken, and sized if the target changed
   */
  readonly every?: string | StrategyNode | undefined;
  /**
   * Sized again, too, when at the end of a bucket the share of the capital that is held differs from the target by more
   * than this: 0.05 = five points. Above 0, and below 1 or the largest weight of the target, whichever is more. What is held counts with what working orders may still fill. @default never
   */
  readonly drift?: number | undefined;
}

/** A checked {@link Rebalance}. */
export interface CheckedRebalance {
  readonly period: RebalanceSchedule | undefined;
  readonly series: StrategyNode | undefined;
  /** 0: never. */
  readonly drift: number;
  /** What of it is part of the node id; the series is, as an input. */
  readonly params: { readonly every?: string; readonly drift?: number };
}

const rebalanceKeys: OptionKeys<Rebalance> = { every: true, drift: true };

/**
 * Checks a `rebalance` option.
 *
 * @param at name in the error, e.g. `WeightTargetNode.rebalance`
 * @throws {DeclarationError} naming the field.
 */
export function checkRebalance(at: string, rebalance: Rebalance): CheckedRebalance {
  if (typeof rebalance !== "object" || rebalance === null) {
    throw invalid(at, 'must be an object, as in { every: "1mo", drift: 0.05 }');
  }
  if ("calendar" in rebalance) {
    const problem = "is not supported: there are no calendars yet, and periods are those of UTC";
    throw invalid(`${at}.calendar`, problem);
  }
  checkOptions(at, rebalance, rebalanceKeys);
  const { every, drift } = rebalance;
  if (every === undefined && drift === undefined) throw invalid(at, "needs every or drift");
  if (drift !== undefined && typeof drift !== "number") {
    throw invalid(`${at}.drift`, `must be a number, 0.05 for five points, not ${quoted(drift)}`);
  }
  if (drift !== undefined && !(drift > 0 && Number.isFinite(drift))) {
    throw invalid(`${at}.drift`, `must be above 0, not ${String(drift)}`);
  }
  const period = typeof every === "string" ? parsePeriod(`${at}.every`, every) : undefined;
  if (every !== undefined && typeof every !== "string" && !(every instanceof StrategyNode)) {
    throw invalid(`${at}.every`, 'must be a period such as "1mo", or a node');
  }
  return {
    period,
    series: every instanceof StrategyNode ? every : undefined,
    drift: drift ?? 0,
    params: {
      ...(period === undefined ? {} : { every: rebalanceScheduleText(period) }),
      ...(drift === undefined ? {} : { drift }),
    },
  };
}

const quoted = (given: unknown): string =>
  typeof given === "string" ? `the text "${given}"` : String(given);

function parsePeriod(field: string, text: string): RebalanceSchedule {
  const period = parseRebalanceSchedule(text);
  if (period !== undefined) return period;
  throw invalid(
    field,
    `"${text}" is not a period such as "4h", "1d", "5d", "1w", "1mo", "1q" or "1y"`,
  );
}
