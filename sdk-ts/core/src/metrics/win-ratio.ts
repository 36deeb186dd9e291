import type { ReturnSeries } from "./return-series.ts";

/** Share of returns above 0 among returns other than 0. Undefined when there is none. */
export function winRatio({ returns }: ReturnSeries): number | undefined {
  let wins = 0;
  let moves = 0;
  for (const value of returns) {
    wins += value > 0 ? 1 : 0;
    moves += value !== 0 ? 1 : 0;
  }
  return moves === 0 ? undefined : wins / moves;
}
