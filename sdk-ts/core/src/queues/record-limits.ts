/** Earliest and latest time that a record may state, milliseconds since 1970: years 1 to 9999, as in a Timestamp. */
export const recordTimeMsMin = -62_135_596_800_000;
export const recordTimeMsMax = 253_402_300_799_999;
/** Largest number of rows of one EMPTY record: readers keep an entry for each. */
export const emptyRowsMax = 1_000_000;

/** Whether a record may state a time, milliseconds since 1970; false for NaN and ±∞. */
export function isRecordTime(ms: number): boolean {
  return ms >= recordTimeMsMin && ms <= recordTimeMsMax;
}

/** Highest row number of a queue: the years 1 to 9999 have no more buckets of its interval. */
export function queueRowMax(intervalSeconds: number): number {
  return Math.floor((recordTimeMsMax - recordTimeMsMin) / (intervalSeconds * 1_000));
}

/** One number, and its bytes: copying eight bytes costs less than a view of each array. */
const number = new DataView(new ArrayBuffer(8));
const numberBytes = new Uint8Array(number.buffer);

/** Value `at` of a little-endian float64 column; NaN when it is not there. */
export function float64At(bytes: Uint8Array, at: number): number {
  const from = 8 * at;
  if (bytes.length < from + 8) return Number.NaN;
  for (let byte = 0; byte < 8; byte++) numberBytes[byte] = bytes[from + byte]!;
  return number.getFloat64(0, true);
}

/** The times of a run of rows, one little-endian float64 per row, milliseconds since 1970. */
interface RunTimes {
  readonly count: number;
  readonly bucketEndMs: Uint8Array;
  readonly knownAtMs: Uint8Array;
}

/**
 * What is wrong with the times of a run; undefined if nothing is. Bucket ends are whole milliseconds and increase;
 * both kinds lie in the years 1 to 9999. Whether `known_at_ms` decreases is for the fold to see.
 */
export function runTimesFault({ count, bucketEndMs, knownAtMs }: RunTimes): string | undefined {
  const bytes = 8 * count;
  if (bucketEndMs.length !== bytes) return `bucket_end_ms must have ${bytes} bytes`;
  if (knownAtMs.length !== bytes) return `known_at_ms must have ${bytes} bytes`;
  let previousMs = Number.NEGATIVE_INFINITY;
  for (let at = 0; at < count; at++) {
    const endMs = float64At(bucketEndMs, at);
    if (!isRecordTime(endMs)) return "bucket_end_ms must be within the years 1 to 9999";
    if (!Number.isInteger(endMs)) return "bucket_end_ms must be whole milliseconds";
    if (endMs <= previousMs) return "bucket_end_ms must increase";
    previousMs = endMs;
    if (!isRecordTime(float64At(knownAtMs, at)))
      return "known_at_ms must be within the years 1 to 9999";
  }
  return undefined;
}
