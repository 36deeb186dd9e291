import { userFold } from "../../nodes/user-fold.ts";
import type { NodeKernel } from "../graph.ts";

type Fold = Parameters<typeof userFold.create>[0];

/** A fold as a node of a graph runs it. */
export function foldOf(params: Fold): NodeKernel {
  const [lookback, warmup] = [userFold.lookback(params), userFold.warmup(params)];
  return { lookback, warmup, readsWindows: true, create: () => userFold.create(params) };
}

/**
 * Mean of the last values in a ring, with a gap at each seventeenth row, and a sign of another input.
 *
 * @param isWhole its first port never shows NaN
 */
export function average(rows: number, isWhole: boolean): Fold {
  return {
    ports: ["p0", "p1"],
    initial: { sum: 0, n: 0, up: false, ring: new Float64Array(rows) },
    outputs: [],
    warmup: 1,
    makeCall: (given, x) => () => {
      const s = given as { sum: number; n: number; up: boolean; ring: Float64Array };
      const value = x.p0!;
      if (isWhole && Number.isNaN(value)) throw new Error("called without a value");
      if (Number.isNaN(value)) return null;
      s.sum += value - s.ring[s.n % rows]!;
      s.ring[s.n % rows] = value;
      s.n++;
      if (!Number.isNaN(x.p1!)) s.up = value > x.p1!;
      return s.n % 17 === 0 ? null : s.sum / rows + (s.up ? 1 : -0);
    },
  };
}

/** Highest and lowest value so far, as fields of the state. */
export const extremes: Fold = {
  ports: ["p0"],
  initial: { top: Number.NEGATIVE_INFINITY, bottom: Number.NaN },
  outputs: ["bottom", "top"],
  warmup: 1,
  makeCall: (given, x) => () => {
    const s = given as { top: number; bottom: number };
    s.top = Math.max(s.top, x.p0!);
    s.bottom = x.p0! < s.bottom || Number.isNaN(s.bottom) ? x.p0! : s.bottom;
  },
};
