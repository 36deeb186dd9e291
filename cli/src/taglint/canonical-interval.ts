const UNITS = { d: 86_400, h: 3_600, m: 60, s: 1 } as const;
const secondsMax = 366 * UNITS.d;

/**
 * An interval in the largest unit that divides it: `60`, `"60"`, `"60s"` and `"1m"` are `"1m"`; `5400` is `"90m"`.
 * Undefined for what is no interval, or not 1 second to 366 days. `"1M"` is none: it may mean a month.
 */
export function canonicalInterval(interval: string | number): string | undefined {
  const match = /^(\d{1,8})([smhdSHD]?)$/.exec(String(interval).trim());
  if (match === null) return undefined;
  const unit = (match[2] || "s").toLowerCase() as keyof typeof UNITS;
  const seconds = Number(match[1]) * UNITS[unit];
  if (seconds < 1 || seconds > secondsMax) return undefined;
  const [name, length] = Object.entries(UNITS).find(([, each]) => seconds % each === 0)!;
  return `${seconds / length}${name}`;
}
