const units = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
] as const;

/** A duration in milliseconds in the notation of intervals: `1d`, `90m`, `1s`. */
export function intervalText(intervalMs: number): string {
  const [unit, size] = units.find(([, each]) => intervalMs % each === 0) ?? ["ms", 1];
  return `${intervalMs / size}${unit}`;
}
