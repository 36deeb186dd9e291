import { ProcessingNode, type StrategyNode, type Window } from "@qmtl/sdk";

/**
 * Pearson correlation of two windows of equal length.
 *
 * `Σ(x − x̄)(y − ȳ) ÷ √(Σ(x − x̄)² · Σ(y − ȳ)²)`, in −1…1. NaN when a value is missing or one of them does not move.
 */
export function correlationOf(x: Window, y: Window): number {
  const rows = x.length;
  let [meanX, meanY] = [0, 0];
  for (let i = 0; i < rows; i++) {
    meanX += x.at(i) / rows;
    meanY += y.at(i) / rows;
  }
  let [both, squareX, squareY] = [0, 0, 0];
  for (let i = 0; i < rows; i++) {
    const [dx, dy] = [x.at(i) - meanX, y.at(i) - meanY];
    both += dx * dy;
    squareX += dx * dx;
    squareY += dy * dy;
  }
  const correlation = both / Math.sqrt(squareX * squareY);
  return Number.isFinite(correlation) ? Math.max(-1, Math.min(1, correlation)) : Number.NaN;
}

/** Correlation of two series over the last `rows` rows. No value before both have that many. */
export function rollingCorrelation(
  x: StrategyNode,
  y: StrategyNode,
  rows: number,
): ProcessingNode<"x" | "y"> {
  return new ProcessingNode({
    name: "correlation",
    inputs: { x, y },
    period: rows,
    compute: (windows) => correlationOf(windows.x, windows.y),
  });
}
