/** Sample with `floor(q × n)` of the `n` samples below it in order, or the last one. NaN for no samples. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

/** Middle of the samples, the upper one of two. NaN for no samples. */
export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}
