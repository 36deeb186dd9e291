import { calendarName } from "../canonical/bar-interval.ts";

const units = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
] as const;

/** A duration in milliseconds in the notation of intervals: `1d`, `90m`, `1s`, `1w`, `1mo`. */
export function intervalText(intervalMs: number): string {
  const calendar = calendarName(intervalMs / 1_000);
  if (calendar !== undefined) return calendar;
  const [unit, size] = units.find(([, each]) => intervalMs % each === 0) ?? ["ms", 1];
  return `${intervalMs / size}${unit}`;
}
