const dayMs = 86_400_000;
const zero = 48;

/**
 * Milliseconds since 1970 in `bytes[start, end)`: an ISO date (00:00Z of that day), an RFC 3339 time with zone, or
 * whole epoch milliseconds. NaN for anything else, for days that do not exist and for times without a zone.
 */
export function parseTime(bytes: Uint8Array, start: number, end: number): number {
  if (end - start === 10 && bytes[start + 4] === 45 && bytes[start + 7] === 45) {
    return dateMs(
      digitsAt(bytes, start, 4),
      digitsAt(bytes, start + 5, 2),
      digitsAt(bytes, start + 8, 2),
    );
  }
  return parseTimeText(
    Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1"),
  );
}

const rfc3339 =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/;

/** {@link parseTime} for text. */
export function parseTimeText(text: string): number {
  if (/^-?\d{9,15}$/.test(text)) return Number(text);
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
