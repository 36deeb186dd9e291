import type { WeightBounds } from "../../strategy/index.ts";

/** By less than this a value is not beyond a bound: it is the rounding of a sum. */
const tolerance = 1e-9;

/** Whether a signal is beyond what its target may be. NaN is not. */
export function isBeyond({ min, max }: WeightBounds, value: number): boolean {
  return value > max + tolerance || value < min - tolerance;
}

/** Counts signals beyond the bounds of one target. */
export class HeldSignalMonitor {
  readonly #bounds: WeightBounds;
  #low = { bars: 0, furthest: Number.NaN, isOne: true };
  #high = { bars: 0, furthest: Number.NaN, isOne: true };

  constructor(bounds: WeightBounds) {
    this.#bounds = bounds;
  }

  /** Number of signals beyond either bound. */
  get bars(): number {
    return this.#low.bars + this.#high.bars;
  }

  take(value: number): void {
    if (!isBeyond(this.#bounds, value)) return;
    const isLow = value < this.#bounds.min;
    const side = isLow ? this.#low : this.#high;
    if (side.bars++ === 0) side.furthest = value;
    if (value !== side.furthest) side.isOne = false;
    side.furthest = isLow ? Math.min(side.furthest, value) : Math.max(side.furthest, value);
  }

  /** `-4 was held at -1 on 495 bars (weightMin)`; one text for each bound that held any. */
  texts(): string[] {
    const { min, max } = this.#bounds;
    const sides = [
      { ...this.#low, bound: min, way: "down to", name: "weightMin" },
      { ...this.#high, bound: max, way: "up to", name: "weightMax" },
    ];
    return sides.flatMap(({ bars, furthest, isOne, bound, way, name }) => {
      if (bars === 0) return [];
      const count = bars === 1 ? "1 bar" : `${bars} bars`;
      const what = isOne ? `${shown(furthest)} was` : `values ${way} ${shown(furthest)} were`;
      return [`${what} held at ${bound} on ${count} (${name})`];
    });
  }
}

function shown(value: number): string {
  return String(Number(value.toPrecision(6)));
}
