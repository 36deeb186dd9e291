const powersOfTen = Float64Array.from({ length: 23 }, (_, power) => 10 ** power);

const zero = 48;
const nine = 57;
const dot = 46;
const minus = 45;

/** Most digits for which mantissa and scale are exact, so that the division rounds only once, as `Number()` does. */
const digitsMax = 15;

/**
 * Number in `bytes[start, end)`, bit for bit as `Number()` gives it for the text; NaN if that is empty or not a number.
 *
 * Plain decimals of up to 15 digits are read in the loop; longer ones and those with an exponent go through `Number()`.
 * Only decimal notation counts: hexadecimal, `Infinity` and separators are NaN.
 */
export function parseDecimal(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  const isNegative = bytes[at] === minus;
  if (isNegative) at++;
  let mantissa = 0;
  let digits = 0;
  let decimals = -1;
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if (byte >= zero && byte <= nine) {
      mantissa = mantissa * 10 + (byte - zero);
      if (mantissa !== 0) digits++;
      if (decimals >= 0) decimals++;
    } else if (byte === dot && decimals < 0) decimals = 0;
    else return parseSlowly(bytes, start, end);
  }
  const scale = Math.max(decimals, 0);
  const hasDigit = end - start - (isNegative ? 1 : 0) - (decimals >= 0 ? 1 : 0) > 0;
  if (digits > digitsMax || scale > 22 || !hasDigit) return parseSlowly(bytes, start, end);
  const value = mantissa / powersOfTen[scale]!;
  return isNegative ? -value : value;
}

const decimalPattern = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

function parseSlowly(bytes: Uint8Array, start: number, end: number): number {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
  return decimalPattern.test(text) ? Number(text) : Number.NaN;
}
