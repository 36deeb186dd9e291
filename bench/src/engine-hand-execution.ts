import { fillSuffix } from "./engine-hand-cross.ts";

/** Prices of a run. */
export interface HandBars {
  readonly open: Float64Array;
  readonly close: Float64Array;
}

/** Money side of a run; rates are ratios. */
export interface HandCosts {
  readonly capital: number;
  readonly lotUnit: number;
  readonly fee: number;
  readonly halfSpread: number;
}

/** Crossing of two averages that is held long or flat. */
export interface HandCrossing {
  readonly fast: number;
  readonly slow: number;
}

/** Signal, sizing in whole lots, fill at the next open across half a spread, fee and equity, as one loop. */
export function handExecution(
  { open, close }: HandBars,
  equity: Float64Array,
  rows: number,
  { fast, slow }: HandCrossing,
  { capital, lotUnit, fee, halfSpread }: HandCosts,
): void {
  const suffixF = new Float64Array(fast + 1);
  const suffixS = new Float64Array(slow + 1);
  let positionF = 0;
  let positionS = 0;
  let prefixF = 0;
  let prefixS = 0;
  let side = 0;
  let cash = capital;
  let held = 0;
  let ordered = 0;
  for (let i = 0; i < rows; i++) {
    const now = close[i]!;
    if (ordered !== 0) {
      const raw = open[i]!;
      const price = raw * (1 + (ordered > 0 ? halfSpread : -halfSpread));
      cash -= ordered * lotUnit * price + Math.abs(ordered * lotUnit * raw) * fee;
      held += ordered;
      ordered = 0;
    }
    if (positionF === 0) {
      fillSuffix(suffixF, close, i, fast);
      prefixF = 0;
    }
    if (positionS === 0) {
      fillSuffix(suffixS, close, i, slow);
      prefixS = 0;
    }
    prefixF += now;
    prefixS += now;
    positionF++;
    positionS++;
    const meanF = (suffixF[positionF]! + prefixF) / fast;
    const meanS = (suffixS[positionS]! + prefixS) / slow;
    if (positionF === fast) positionF = 0;
    if (positionS === slow) positionS = 0;
    const next = meanF > meanS ? 1 : meanF <= meanS ? 0 : side;
    const value = cash + held * lotUnit * now;
    if (next !== side) {
      const want = next === 0 ? 0 : Math.trunc(value / (now * lotUnit) + 1e-9);
      ordered = want - held;
    }
    side = next;
    equity[i] = value;
  }
}
