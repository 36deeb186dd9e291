/**
 * How often a weight is sized again, in UTC. Milliseconds are counted from the epoch, weeks from the Monday before it,
 * months from January 1970. A market week, of a market that rests at weekends, ends on Friday, 24:00.
 */
export interface RebalanceSchedule {
  readonly unit: "ms" | "market-weeks" | "weeks" | "months";
  /** Number of units, a whole number above 0; of market weeks 1. */
  readonly count: number;
}

const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;
/** 1969-12-29, the Monday of the week of the epoch. */
const FIRST_MONDAY_MS = -3 * DAY_MS;
/** The day after its Friday. */
const FIRST_SATURDAY_MS = FIRST_MONDAY_MS + 5 * DAY_MS;

const LENGTHS_MS = new Map([
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", DAY_MS],
  ["w", WEEK_MS],
]);
const MONTHS = new Map([
  ["mo", 1],
  ["q", 3],
  ["y", 12],
]);

/** Longest period: a century. */
const MS_MAX = 36_525 * DAY_MS;
const MONTHS_MAX = 1_200;

/**
 * Reads `4h`, `1d`, `2w`, `1mo`, `1q`, `1y`. Equal lengths are one: `7d` is a week, and `5d` a market week, as it is for
 * bars. Undefined for any other text, and for more than a century.
 */
export function parseRebalanceSchedule(text: string): RebalanceSchedule | undefined {
  const [, digits = "", unit = ""] = /^([1-9]\d{0,8})(s|m|h|d|w|mo|q|y)$/.exec(text) ?? [];
  const months = Number(digits) * (MONTHS.get(unit) ?? 0);
  if (months > 0) return months > MONTHS_MAX ? undefined : { unit: "months", count: months };
  const lengthMs = Number(digits) * (LENGTHS_MS.get(unit) ?? 0);
  if (lengthMs === 0 || lengthMs > MS_MAX) return undefined;
  if (lengthMs === 5 * DAY_MS) return { unit: "market-weeks", count: 1 };
  if (lengthMs % WEEK_MS === 0) return { unit: "weeks", count: lengthMs / WEEK_MS };
  return { unit: "ms", count: lengthMs };
}

/** A schedule as text that is the same for equal ones: `24h` is `1d`, `7d` is `1w`, `1q` is `3mo`, `1y` is `12mo`. */
export function rebalanceScheduleText({ unit, count }: RebalanceSchedule): string {
  if (unit === "market-weeks") return "5d";
  if (unit === "weeks") return `${count}w`;
  if (unit === "months") return `${count}mo`;
  const name = ["d", "h", "m"].find((one) => count % LENGTHS_MS.get(one)! === 0) ?? "s";
  return `${count / LENGTHS_MS.get(name)!}${name}`;
}

/** The first end of a period after a time, both in milliseconds since the epoch. */
export function periodEndAfter({ unit, count }: RebalanceSchedule, timeMs: number): number {
  switch (unit) {
    case "ms":
      return nextMultiple(timeMs, count, 0);
    case "market-weeks":
      return nextMultiple(timeMs, WEEK_MS, FIRST_SATURDAY_MS);
    case "weeks":
      return nextMultiple(timeMs, count * WEEK_MS, FIRST_MONDAY_MS);
    case "months": {
      const time = new Date(timeMs);
      const month = (time.getUTCFullYear() - 1970) * 12 + time.getUTCMonth();
      return Date.UTC(1970, nextMultiple(month, count, 0), 1);
    }
  }
}

function nextMultiple(value: number, step: number, first: number): number {
  return (Math.floor((value - first) / step) + 1) * step + first;
}
