/**
 * How often a weight is sized again, in UTC: whole milliseconds and weeks are counted from the epoch (weeks from the
 * Monday before it), months from January 1970.
 */
export interface RebalanceSchedule {
  readonly unit: "ms" | "weeks" | "months";
  /** Number of units, a whole number above 0. */
  readonly count: number;
}

const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;
/** 1969-12-29, the Monday of the week of the epoch. */
const FIRST_MONDAY_MS = -3 * DAY_MS;

const UNITS: Readonly<Record<string, RebalanceSchedule>> = {
  s: { unit: "ms", count: 1_000 },
  m: { unit: "ms", count: 60_000 },
  h: { unit: "ms", count: 3_600_000 },
  d: { unit: "ms", count: DAY_MS },
  w: { unit: "weeks", count: 1 },
  mo: { unit: "months", count: 1 },
  q: { unit: "months", count: 3 },
  y: { unit: "months", count: 12 },
};

/** Longest period, in units: a century. */
const COUNTS_MAX: Readonly<Record<RebalanceSchedule["unit"], number>> = {
  ms: 36_525 * DAY_MS,
  weeks: 5_218,
  months: 1_200,
};

/** Reads `4h`, `1d`, `2w`, `1mo`, `1q`, `1y`. Undefined for any other text, and for more than a century. */
export function parseRebalanceSchedule(text: string): RebalanceSchedule | undefined {
  const [, digits = "", name = ""] = /^([1-9]\d{0,8})(s|m|h|d|w|mo|q|y)$/.exec(text) ?? [];
  const one = UNITS[name];
  if (one === undefined) return undefined;
  const count = Number(digits) * one.count;
  return count > COUNTS_MAX[one.unit] ? undefined : { unit: one.unit, count };
}

/** A period as text that is the same for equal periods: `24h` is `1d`, `1q` is `3mo`, `1y` is `12mo`. */
export function rebalanceScheduleText({ unit, count }: RebalanceSchedule): string {
  if (unit === "weeks") return `${count}w`;
  if (unit === "months") return `${count}mo`;
  for (const name of ["d", "h", "m"]) {
    const length = UNITS[name]!.count;
    if (count % length === 0) return `${count / length}${name}`;
  }
  return `${count / 1_000}s`;
}

/** The first end of a period after a time, both in milliseconds since the epoch. */
export function periodEndAfter({ unit, count }: RebalanceSchedule, timeMs: number): number {
  if (unit === "ms") return (Math.floor(timeMs / count) + 1) * count;
  if (unit === "weeks") {
    const lengthMs = count * WEEK_MS;
    return (Math.floor((timeMs - FIRST_MONDAY_MS) / lengthMs) + 1) * lengthMs + FIRST_MONDAY_MS;
  }
  const time = new Date(timeMs);
  const month = (time.getUTCFullYear() - 1970) * 12 + time.getUTCMonth();
  return Date.UTC(1970, (Math.floor(month / count) + 1) * count, 1);
}
