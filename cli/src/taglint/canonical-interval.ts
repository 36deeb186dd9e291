import { calendarName } from "@qmtl/core/intervals";
import { secondsOfInterval } from "../option-values.ts";

const UNITS = [
  ["d", 86_400],
  ["h", 3_600],
  ["m", 60],
] as const;

/**
 * An interval in the largest unit that divides it: `60`, `"60"`, `"60s"` and `"1m"` are `"1m"`; `5400` is `"90m"`.
 * Calendar periods keep their names: `"1w"`, `"1mo"`. Undefined for what is not an interval. `"1M"` is not one: it may
 * mean a month.
 */
export function canonicalInterval(interval: string | number): string | undefined {
  const text = String(interval).trim();
  const seconds = secondsOfInterval(/M$/.test(text) ? text : text.toLowerCase());
  if (seconds === undefined) return undefined;
  const calendar = calendarName(seconds);
  if (calendar !== undefined) return calendar;
  const [unit, length] = UNITS.find(([, each]) => seconds % each === 0) ?? ["s", 1];
  return `${seconds / length}${unit}`;
}
