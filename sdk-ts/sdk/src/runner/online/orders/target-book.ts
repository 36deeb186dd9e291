import type { PositionSide } from "@qmtl/core/gate";
import type { OrderGate } from "../../../control/index.ts";
import type { ComputedBucket } from "../compute/clocks.ts";
import type { OnlineTarget } from "../session/graph.ts";

/** One target as the sender states it. */
export interface StatedTarget {
  readonly target: OnlineTarget;
  /** Share of the strategy's capital. */
  value: number;
  /** Row at which it was last to be sized; −1 for none. */
  sizedRow: number;
  lastSide: PositionSide;
  /** The router has not taken it as it is under the lease in force, or is to compare what is held with it. */
  isUnsent: boolean;
  /** It is unsent for the comparison alone: the router has it. */
  isCheck: boolean;
  /** It has had a value in this process. Before, the router may have another one, of the process before. */
  isKnown: boolean;
}

/** Targets as one call states them. */
export interface StatedTargets {
  readonly targets: readonly StatedTarget[];
  /** Value stated for each target. */
  readonly values: readonly number[];
  /** Sized row stated for each target; −1 for none. */
  readonly sizedRows: readonly number[];
  /** Number of restatements when the call was made. */
  readonly restated: number;
}

/** The latest targets of a strategy, and which of them the router does not have. */
export class TargetBook {
  readonly all: readonly StatedTarget[];
  /** How often all targets were marked to be stated again. */
  #restated = 0;

  constructor(targets: readonly OnlineTarget[]) {
    this.all = targets.map((target) => {
      return {
        ...{ target, value: 0, sizedRow: -1 },
        ...{ lastSide: "long", isUnsent: false, isCheck: false, isKnown: false },
      };
    });
  }

  /**
   * Takes the values and sized rows of a bucket; NaN keeps the previous one. The first value is stated in any case, and
   * nothing before it: without a signal, what is held is held. A target with a drift is stated again with each row of its
   * feed, because it is then that the router compares what is held with it.
   */
  decide({
    targets: values,
    sizedRows,
    ends,
  }: Pick<ComputedBucket, "targets" | "sizedRows" | "ends">): void {
    this.all.forEach((each, at) => {
      const value = standing(values[at], each.value);
      const sizedRow = standing(sizedRows[at], each.sizedRow);
      const isFirst = !each.isKnown && !Number.isNaN(values[at] ?? Number.NaN);
      each.isKnown ||= isFirst;
      if (isFirst || value !== each.value || sizedRow !== each.sizedRow) {
        each.isUnsent = each.isKnown;
        each.isCheck = false;
      }
      const { drift, markSource } = each.target;
      if (
        drift > 0 &&
        each.isKnown &&
        !each.isUnsent &&
        ends.some(({ source }) => source === markSource)
      ) {
        each.isUnsent = true;
        each.isCheck = true;
      }
      if (value !== 0) each.lastSide = value > 0 ? "long" : "short";
      each.value = value;
      each.sizedRow = sizedRow;
    });
  }

  /** Marks all targets that have had a value to be stated again. */
  restate(): void {
    this.#restated++;
    for (const each of this.all) {
      each.isUnsent = each.isKnown;
      each.isCheck = false;
    }
  }

  /**
   * The targets that the router does not have, or is to compare with what is held. One without a value in this process
   * is none of them: the value that the process before stated for it stands.
   */
  unsent(): StatedTargets {
    const targets = this.all.filter(({ isUnsent, isKnown }) => isUnsent && isKnown);
    return {
      targets,
      values: targets.map(({ value }) => value),
      sizedRows: targets.map(({ sizedRow }) => sizedRow),
      restated: this.#restated,
    };
  }

  /**
   * The router took a target as it was stated. It still counts as unsent if it has changed since, or if all were marked
   * to be stated again.
   */
  taken(at: number, { targets, values, sizedRows, restated }: StatedTargets): void {
    const each = targets[at];
    if (each === undefined || restated !== this.#restated) return;
    each.isUnsent = each.value !== values[at] || each.sizedRow !== sizedRows[at];
    each.isCheck = false;
  }

  /** Whether no order of any target of the strategy would leave now. */
  isShut(gate: OrderGate, strategyId: string): boolean {
    return this.all.every((each) => gate.refusal({ strategyId, sides: sidesOf(each) }) !== null);
  }
}

function standing(given: number | undefined, before: number): number {
  return given === undefined || Number.isNaN(given) ? before : given;
}

/** Sides on which an order for a target may be: a flat target may close either. */
export function sidesOf({ value, lastSide }: StatedTarget): PositionSide[] {
  if (value !== 0) return [lastSide];
  return [lastSide, lastSide === "long" ? "short" : "long"];
}
