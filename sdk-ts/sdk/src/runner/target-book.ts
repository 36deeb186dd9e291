import type { PositionSide } from "@qmtl/core/gate";
import type { OrderGate } from "../control/index.ts";
import type { FeedEnd } from "./online-clocks.ts";
import type { OnlineTarget } from "./online-graph.ts";

/** One target position as the sender states it. */
export interface StatedTarget {
  readonly target: OnlineTarget;
  /** Share of the strategy's capital. */
  value: number;
  lastSide: PositionSide;
  /** It is not the router's latest under the lease in force. */
  isUnsent: boolean;
}

/** Targets as one call states them. */
export interface StatedTargets {
  readonly targets: readonly StatedTarget[];
  /** What is stated of each. */
  readonly values: readonly number[];
  /** The resend it belongs to. */
  readonly restated: number;
}

/** The targets of a strategy as decided last, and which of them the router does not have. */
export class TargetBook {
  readonly all: readonly StatedTarget[];
  /** Times all were to be stated again. */
  #restated = 0;

  constructor(targets: readonly OnlineTarget[]) {
    this.all = targets.map((target) => {
      return { target, value: 0, lastSide: "long", isUnsent: false };
    });
  }

  /** Takes the values of a bucket; NaN keeps the one before. */
  decide(values: readonly number[]): void {
    this.all.forEach((each, at) => {
      const given = values[at] ?? Number.NaN;
      const value = Number.isNaN(given) ? each.value : given;
      if (value !== each.value) each.isUnsent = true;
      if (value !== 0) each.lastSide = value > 0 ? "long" : "short";
      each.value = value;
    });
  }

  /** All are to be stated again. */
  restate(): void {
    this.#restated++;
    for (const each of this.all) each.isUnsent = true;
  }

  /**
   * What the router does not have of the targets that go with a row: those whose marks come with it; those of no row of
   * the bucket go with its first.
   */
  unsentWith(end: FeedEnd, ends: readonly FeedEnd[]): StatedTargets {
    const targets = this.all.filter(({ target, isUnsent }) => {
      const own = ends.find(({ source }) => source === target.markSource) ?? ends[0];
      return isUnsent && own === end;
    });
    return { targets, values: targets.map(({ value }) => value), restated: this.#restated };
  }

  /** The router took a target as it was stated; what has changed or was to be stated again since is not that. */
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

/** Sides an order for a target may be on: flat may close either. */
export function sidesOf({ value, lastSide }: StatedTarget): PositionSide[] {
  if (value !== 0) return [lastSide];
  return [lastSide, lastSide === "long" ? "short" : "long"];
}
