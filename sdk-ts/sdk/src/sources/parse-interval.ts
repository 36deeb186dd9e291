const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** Longest bar, in seconds: one day. */
const intervalSecondsMax = 86_400;

/**
 * Bar length in whole seconds, 1..86400, from a number of seconds or text such as `60`, `60s`, `1m`, `1h`, `1d`. Equal
 * lengths are one interval, however they are written. Nodes, `sources:` and the command line all use this function.
 *
 * @throws {RangeError} for anything else.
 */
export function parseInterval(interval: number | string): number {
  const isWritten = typeof interval === "number" || typeof interval === "string";
  const match = isWritten ? /^(\d{1,8})([smhd]?)$/.exec(String(interval)) : null;
  if (match === null) {
    throw new RangeError(
      `${shown(interval)} is not an interval; write 60, "60s", "1m", "1h" or "1d"`,
    );
  }
  const seconds = Number(match[1]) * unitSeconds[match[2] || "s"]!;
  if (seconds >= 1 && seconds <= intervalSecondsMax) return seconds;
  throw new RangeError(`must be 1..${intervalSecondsMax} whole seconds, not ${shown(interval)}`);
}

function shown(value: unknown): string {
  return typeof value === "string" ? `"${value}"` : String(value);
}
