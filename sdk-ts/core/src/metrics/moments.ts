/**
 * A spread this small against the largest value is float noise of equal values, not variance:
 * a series of equal returns has no Sharpe ratio, whatever rounding says.
 */
const NOISE = 1e-12;

/** Arithmetic mean; NaN for no values. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    sum += values[i]!;
  }
  return sum / values.length;
}

/**
 * Standard deviation around the mean, two passes. `ddof` 1 = sample, 0 = population.
 * Exactly 0 when all values are equal up to float noise; NaN for `ddof` values or fewer.
 */
export function deviation(values: ArrayLike<number>, ddof: 0 | 1): number {
  if (values.length <= ddof) {
    return Number.NaN;
  }
  const centre = mean(values);
  let squares = 0;
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    squares += (value - centre) ** 2;
    largest = Math.max(largest, Math.abs(value));
  }
  const result = Math.sqrt(squares / (values.length - ddof));
  return result <= NOISE * largest ? 0 : result;
}
