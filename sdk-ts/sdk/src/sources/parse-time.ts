const dayMs = 86_400_000;
const zero = 48;

/**
 * Milliseconds since 1970 in a cell of a file, `bytes[start, end)`: an ISO date (00:00Z of that day), an RFC 3339 time
 * with zone, or whole epoch milliseconds, also those of the last century. NaN for anything else, for days that do not
 * exist and for times without a zone.
 */
export function parseTime(bytes: Uint8Array, start: number, end: number): number {
  if (end - start === 10 && bytes[start + 4] === 45 && bytes[start + 7] === 45) {
    return dateMs(
      digitsAt(bytes, start, 4),
      digitsAt(bytes, start + 5, 2),
      digitsAt(bytes, start + 8, 2),
    );
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
  return /^-?\d{9,15}$/.test(text) ? Number(text) : writtenMs(text);
}

/** The forms of a time that {@link parseTimeText} understands, for messages. */
export const timeForms =
  "a date (2024-03-05), a time with its zone (2024-03-05T14:30:00Z), or the 10 digits of epoch seconds or the 13 of epoch milliseconds";

/**
 * The time that a person writes in an option, on the command line or in the configuration. Digits are never guessed to
 * be a time of the last century: of other lengths, or where 10 of them also read as a day and an hour (`2024030514`),
 * they are refused.
 *
 * @param text one of {@link timeForms}
 * @returns milliseconds since 1970, for a date 00:00Z of its day; NaN for anything else and for days that do not exist
 */
export function parseTimeText(text: string): number {
  if (/^\d{13}$/.test(text)) return Number(text);
  if (/^\d{10}$/.test(text) && !compactHour.test(text)) return Number(text) * 1_000;
  return writtenMs(text);
}

/**
 * {@link parseTimeText} for an option.
 *
 * @param name what the text was given for, for the message
 * @throws {RangeError} naming the option, the text and the forms that are understood.
 */
export function timeOption(name: string, text: string): number {
  const ms = parseTimeText(text);
  if (!Number.isNaN(ms)) return ms;
  throw new RangeError(`${name} is not a date or time: "${text}"; write ${timeForms}`);
}

/** A moment up to which the rows of a run go. */
export interface RowsLimit {
  /** Milliseconds since 1970: a row that has ended by then is before it. */
  readonly ms: number;
  /** It is the end of a day: a bar of at most a day that opens before it belongs to that day, though it may end later. */
  readonly isDayEnd: boolean;
}

/** The limit that `until` names: the end of a day, or a moment. */
export function limitOption(name: string, text: string): RowsLimit {
  const ms = timeOption(name, text);
  const isDayEnd = isDateText(text);
  return { ms: isDayEnd ? ms + dayMs : ms, isDayEnd };
}

/**
 * Number of rows that are before a limit.
 *
 * @param openTimeMs when each bar opened, increasing
 * @param bucketEndMs when each bar ended
 */
export function rowsBefore(
  openTimeMs: Float64Array,
  bucketEndMs: Float64Array,
  { ms, isDayEnd }: RowsLimit,
): number {
  const after = bucketEndMs.findIndex((endMs) => endMs > ms);
  if (after < 0) return bucketEndMs.length;
  const openMs = openTimeMs[after]!;
  const isOfDay = isDayEnd && openMs < ms && bucketEndMs[after]! - openMs <= dayMs;
  return isOfDay ? after + 1 : after;
}

/** The last millisecond of a bar's open time that an inclusive limit lets pass: a date means its whole day. */
export function lastMsOption(name: string, text: string): number {
  return timeOption(name, text) + (isDateText(text) ? dayMs - 1 : 0);
}

/** Whether a time is written as a date alone. */
export function isDateText(text: string): boolean {
  return /^\d{4}-\d\d-\d\d$/.test(text);
}

/** A day and an hour without separators. */
const compactHour = /^(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])$/;

const rfc3339 =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/;

/** A date or an RFC 3339 time; NaN for anything else. */
function writtenMs(text: string): number {
  const date = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text) ?? rfc3339.exec(text);
  if (date === null) return Number.NaN;
  const day = dateMs(Number(date[1]), Number(date[2]), Number(date[3]));
  if (text.length === 10 || Number.isNaN(day)) return day;
  return Date.parse(text.replace(" ", "T").toUpperCase());
}

/** 00:00Z of a day by the proleptic Gregorian calendar; NaN if there is no such day. */
function dateMs(year: number, month: number, day: number): number {
  if (!(month >= 1 && month <= 12 && day >= 1 && day <= 31)) return Number.NaN;
  // Years begin in March here, so that the leap day is the last of its year.
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  if (day > 28 && day > daysInMonth(year, month)) return Number.NaN;
  return (era * 146_097 + dayOfEra - 719_468) * dayMs;
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

function digitsAt(bytes: Uint8Array, start: number, count: number): number {
  let value = 0;
  for (let at = start; at < start + count; at++) {
    const digit = bytes[at]! - zero;
    if (!(digit >= 0 && digit <= 9)) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}
