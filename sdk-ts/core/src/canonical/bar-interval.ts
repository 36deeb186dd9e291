const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;
/** 1970-01-05, the first Monday. */
const MONDAY_MS = 4 * DAY_MS;

interface CalendarTiming {
  readonly name: string;
  /**
   * Its length; of a month, quarter or year the average in the Gregorian calendar, which stands for it wherever lengths
   * are compared. No other interval is longer than a day, so each length is one interval.
   */
  readonly seconds: number;
  /** Months from one to the next; 0: one week. */
  readonly months: number;
  readonly perYear: number;
  /** How bars of it are labelled, for messages. */
  readonly label: string;
}

const periods: readonly CalendarTiming[] = [
  { name: "5d", seconds: 432_000, months: 0, perYear: 52, label: "the Monday of their week" },
  { name: "1w", seconds: 604_800, months: 0, perYear: 52, label: "the Monday of their week" },
  {
    name: "1mo",
    seconds: 2_629_746,
    months: 1,
    perYear: 12,
    label: "the first day of their month",
  },
  {
    name: "1q",
    seconds: 7_889_238,
    months: 3,
    perYear: 4,
    label: "the first day of their quarter",
  },
  { name: "1y", seconds: 31_556_952, months: 12, perYear: 1, label: "January 1st of their year" },
];

/** Names of the calendar intervals, shortest first. `5d` is a week of a market that rests at weekends. */
export const calendarNames: readonly string[] = periods.map(({ name }) => name);

/** Seconds that stand for a calendar interval: the length of `5d` and `1w`, the average length of the others. */
export function calendarSeconds(name: string): number | undefined {
  return periods.find((period) => period.name === name)?.seconds;
}

/** Name of the calendar interval for which a number of seconds stands; undefined for one of up to a day. */
export function calendarName(seconds: number): string | undefined {
  return periods.find((period) => period.seconds === seconds)?.name;
}

/** The same for `1mo`, `1q` and `1y` only, which have no fixed length: in a node id their name takes its place. */
export function varyingName(seconds: number): string | undefined {
  return periods.find((period) => period.months > 0 && period.seconds === seconds)?.name;
}

/** Bars per year of a calendar interval; of any other the sessions of a year, 252. */
export function usualPeriodsPerYear(seconds: number): number {
  return periods.find((period) => period.seconds === seconds)?.perYear ?? 252;
}

/** How bars of a calendar interval are labelled, for messages; undefined for any other interval. */
export function calendarLabel(intervalMs: number): string | undefined {
  return periodOf(intervalMs)?.label;
}

/** Whether a bar may open at a time: those of a calendar interval at 00:00Z of a Monday, or of the first of a month … */
export function canOpenAt(openMs: number, intervalMs: number): boolean {
  const period = periodOf(intervalMs);
  if (period === undefined) return true;
  if (period.months === 0) return (openMs - MONDAY_MS) % WEEK_MS === 0;
  return monthStart(Math.floor(monthOf(openMs) / period.months) * period.months) === openMs;
}

/** When each bar of a feed ends and is known: its open plus the interval, or the end of its period in UTC. */
export function bucketEnds(openMs: Float64Array, intervalMs: number): Float64Array {
  const { months = 0 } = periodOf(intervalMs) ?? {};
  return openMs.map((open) => (months === 0 ? open + intervalMs : addMonths(open, months)));
}

/** When the bar opened that ends at a time. */
export function bucketOpen(endMs: number, intervalMs: number): number {
  const { months = 0 } = periodOf(intervalMs) ?? {};
  return months === 0 ? endMs - intervalMs : addMonths(endMs, -months);
}

/** End of a bar that comes a number of rows after one that ends at `endMs`, if none is missing between them. */
export function laterBucketEnd(endMs: number, rows: number, intervalMs: number): number {
  const period = periodOf(intervalMs);
  if (period === undefined) return endMs + rows * intervalMs;
  return period.months === 0 ? endMs + rows * WEEK_MS : addMonths(endMs, rows * period.months);
}

/**
 * Number of bars that come after one that ends at `endMs` and end by `nowMs`, if none is missing: the largest number of
 * rows for which `laterBucketEnd` is not later; 0 for a time before `endMs`.
 */
export function bucketsSince(endMs: number, nowMs: number, intervalMs: number): number {
  const { months = 0 } = periodOf(intervalMs) ?? {};
  const lengthMs = intervalMs + restMs(intervalMs);
  const count =
    months === 0 ? (nowMs - endMs) / lengthMs : (monthOf(nowMs) - monthOf(endMs)) / months;
  return Math.max(0, Math.floor(count));
}

/**
 * Number of the interval in which a time lies; intervals include their end, since a bar that ends at midnight is one of
 * the day before. Those of seconds are counted from 1970-01-01T00:00Z; a week, be it of 5 days or of 7, begins on Monday,
 * and months, quarters and years are those of the calendar, in UTC.
 */
export function intervalNumberAt(timeMs: number, intervalMs: number): number {
  const period = periodOf(intervalMs);
  if (period === undefined) return Math.ceil(timeMs / intervalMs);
  if (period.months === 0) return Math.ceil((timeMs - MONDAY_MS) / WEEK_MS);
  return Math.floor(monthOf(timeMs - 1) / period.months);
}

/** How long after the end of a bar the next one opens: the weekend after `5d`, otherwise nothing. */
export function restMs(intervalMs: number): number {
  return periodOf(intervalMs)?.name === "5d" ? WEEK_MS - intervalMs : 0;
}

function periodOf(intervalMs: number): CalendarTiming | undefined {
  return periods.find(({ seconds }) => seconds * 1_000 === intervalMs);
}

function addMonths(ms: number, months: number): number {
  return monthStart(monthOf(ms) + months);
}

/** Months since year 0. */
function monthOf(ms: number): number {
  const date = new Date(ms);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}

function monthStart(month: number): number {
  return Date.UTC(Math.floor(month / 12), month % 12, 1);
}
