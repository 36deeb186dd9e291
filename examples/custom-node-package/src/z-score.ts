import { ProcessingNode, type StrategyNode, type Window } from "@qmtl/sdk";

/**
 * How far the newest value of a window stands from the window's mean, in the window's population deviations.
 *
 * `(last − mean) ÷ √(Σ(value − mean)² ÷ n)`. 0 when nothing moved; NaN when a value is missing.
 */
export function zScoreOf(window: Window): number {
  const rows = window.length;
  let mean = 0;
  for (let i = 0; i < rows; i++) mean += window.at(i) / rows;
  let squares = 0;
  for (let i = 0; i < rows; i++) squares += (window.at(i) - mean) ** 2;
  const deviation = Math.sqrt(squares / rows);
  return deviation === 0 ? 0 : (window.latest() - mean) / deviation;
}

/** Z-score of a series over the last `rows` rows, ≥ 2. No value before there are that many. */
export function zScore(series: StrategyNode, rows: number): ProcessingNode<"series"> {
  return new ProcessingNode({
    name: `z${rows}`,
    inputs: { series },
    period: rows,
    compute: (windows) => zScoreOf(windows.series),
  });
}
