import { calendarName, calendarNames, calendarSeconds, varyingName } from "@qmtl/core/intervals";

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** Longest bar that is no calendar period, in seconds: one day. */
const intervalSecondsMax = 86_400;

/**
 * Bar length in seconds from a number of seconds or text such as `60`, `60s`, `1m`, `1h`, `1d`, or from the calendar:
 * `1w`, `5d` (a week of a market that rests at weekends), `1mo`, `1q`, `1y`. Equal lengths are one interval, however they
 * are written: `7d` is `1w`. Nodes, `sources:` and the command line all use this function.
 *
 * @returns 1..86400; 432000 for `5d`, 604800 for `1w`; the average length of a month, quarter or year, which stands for it
 * @throws {RangeError} for anything else.
 */
export function parseInterval(interval: number | string): number {
  const isWritten = typeof interval === "number" || typeof interval === "string";
  const calendar = isWritten ? calendarSeconds(String(interval)) : undefined;
  if (calendar !== undefined) return calendar;
  const match = isWritten ? /^(\d{1,8})([smhd]?)$/.exec(String(interval)) : null;
  const longer = calendarNames.join(", ");
  if (match === null) {
    throw new RangeError(
      `${shown(interval)} is not an interval; write 60, "60s", "1m", "1h" or "1d", or a calendar period: ${longer}`,
    );
  }
  const seconds = Number(match[1]) * unitSeconds[match[2] || "s"]!;
  const isWeek = calendarName(seconds) !== undefined && varyingName(seconds) === undefined;
  if (isWeek || (seconds >= 1 && seconds <= intervalSecondsMax)) return seconds;
  throw new RangeError(
    `must be 1..${intervalSecondsMax} whole seconds or one of ${longer}, not ${shown(interval)}`,
  );
}

function shown(value: unknown): string {
  return typeof value === "string" ? `"${value}"` : String(value);
}
