import { finiteReturns, type ReturnSeries } from "./return-series.ts";

/** Share of bars with a return above 0 among bars with a return other than 0. Undefined when there is none. */
export function winRatio(series: ReturnSeries): number | undefined {
  let wins = 0;
  let moves = 0;
  for (const value of finiteReturns(series.returns)) {
    wins += value > 0 ? 1 : 0;
    moves += value !== 0 ? 1 : 0;
  }
  return moves === 0 ? undefined : wins / moves;
}
