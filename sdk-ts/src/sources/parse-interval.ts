const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/**
 * Bar length in whole seconds from a number of seconds or text such as `60s`, `1m`, `1h`, `1d`.
 *
 * @throws {RangeError} for anything else, and for less than 1 s or more than 366 d.
 */
export function parseInterval(interval: number | string): number {
  const match = /^(\d{1,8})([smhd]?)$/.exec(String(interval));
  const seconds = match ? Number(match[1]) * unitSeconds[match[2] || "s"]! : Number.NaN;
  if (!(seconds >= 1 && seconds <= 366 * 86_400)) {
    throw new RangeError(`not an interval (1..366 days, e.g. 60, "1m", "1h", "1d"): ${interval}`);
  }
  return seconds;
}
