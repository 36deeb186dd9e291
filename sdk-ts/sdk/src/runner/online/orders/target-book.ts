import type { PositionSide } from "@qmtl/core/gate";
import type { OrderGate } from "../../../control/index.ts";
import type { OnlineTarget } from "../session/graph.ts";

/** One target as the sender states it. */
export interface StatedTarget {
  readonly target: OnlineTarget;
  /** Share of the strategy's capital. */
  value: number;
  lastSide: PositionSide;
  /** The router has not taken this value under the lease in force. */
  isUnsent: boolean;
}

/** Targets as one call states them. */
export interface StatedTargets {
  readonly targets: readonly StatedTarget[];
  /** Value stated for each target. */
  readonly values: readonly number[];
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
      return { target, value: 0, lastSide: "long", isUnsent: false };
    });
  }

  /** Takes the values of a bucket; NaN keeps the previous value. */
  decide(values: readonly number[]): void {
    this.all.forEach((each, at) => {
      const given = values[at] ?? Number.NaN;
      const value = Number.isNaN(given) ? each.value : given;
      if (value !== each.value) each.isUnsent = true;
      if (value !== 0) each.lastSide = value > 0 ? "long" : "short";
      each.value = value;
    });
  }

  /** Marks all targets to be stated again. */
  restate(): void {
    this.#restated++;
    for (const each of this.all) each.isUnsent = true;
  }

  /** The targets that the router does not have. */
  unsent(): StatedTargets {
    const targets = this.all.filter(({ isUnsent }) => isUnsent);
    return { targets, values: targets.map(({ value }) => value), restated: this.#restated };
  }

  /**
   * The router took a target as it was stated. It still counts as unsent if it has changed since, or if all were marked
   * to be stated again.
   */
  taken(at: number, { targets, values, restated }: StatedTargets): void {
    const each = targets[at];
    if (each !== undefined && restated === this.#restated)
      each.isUnsent = each.value !== values[at];
  }

  /** Whether no order of any target would leave now. */
  isShut(gate: OrderGate): boolean {
    return this.all.every((each) => gate.refusal(sidesOf(each)) !== null);
  }
}

/** Sides on which an order for a target may be: a flat target may close either. */
export function sidesOf({ value, lastSide }: StatedTarget): PositionSide[] {
  if (value !== 0) return [lastSide];
  return [lastSide, lastSide === "long" ? "short" : "long"];
}
