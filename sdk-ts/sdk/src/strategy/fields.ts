import { parseInterval as intervalSeconds } from "../sources/parse-interval.ts";
import { invalid } from "./declaration-error.ts";

/**
 * Whole seconds, 1..86400, or text such as `"60s"`, `"1m"`, `"1h"`, `"1d"`, or a calendar period: `"1w"` (`"5d"` where the
 * market rests at weekends), `"1mo"`, `"1q"`, `"1y"`. Equal lengths are one interval.
 */
export type IntervalInput = number | string;

const PERIOD_MAX = 10_000;
const NAME_LENGTH_MAX = 200;
const TAG_LENGTH_MAX = 100;

/**
 * Parses an interval.
 *
 * @param field name in the error, e.g. `StreamInput.interval`
 * @param value whole seconds, or text such as `"1m"`
 * @returns whole seconds; of a month, quarter or year the average
 * @throws {DeclarationError} `INVALID_FIELD` for anything that is not an interval.
 */
export function parseInterval(field: string, value: IntervalInput): number {
  try {
    return intervalSeconds(value);
  } catch (error) {
    if (error instanceof RangeError) throw invalid(field, error.message);
    throw error;
  }
}

/** A number of rows, `min`..10000. */
export function checkRows(field: string, value: number, min = 1): number {
  if (Number.isInteger(value) && value >= min && value <= PERIOD_MAX) return value;
  throw invalid(field, `must be an integer in ${min}..${PERIOD_MAX}, not ${String(value)}`);
}

/** A non-empty name of at most 200 characters. */
export function checkName(field: string, value: string): string {
  if (typeof value === "string" && value.length > 0 && value.length <= NAME_LENGTH_MAX)
    return value;
  throw invalid(field, `must be a string of 1..${NAME_LENGTH_MAX} characters`);
}

/** Tags as a sorted list: distinct, 1..100 characters of `A-Z a-z 0-9 _ . -`. */
export function checkTags(field: string, tags: readonly string[]): readonly string[] {
  if (!Array.isArray(tags)) throw invalid(field, 'must be a list, such as ["alpha"]');
  for (const tag of tags) {
    if (!/^[A-Za-z0-9_.-]+$/.test(tag) || tag.length > TAG_LENGTH_MAX) {
      throw invalid(field, `"${tag}" must be 1..${TAG_LENGTH_MAX} characters of A-Za-z0-9_.-`);
    }
  }
  if (new Set(tags).size !== tags.length) throw invalid(field, "has a duplicate");
  return [...tags].sort();
}

/** Distinct column or port names that are identifiers, in the given order. */
export function checkIdentifiers<Name extends string>(
  field: string,
  names: readonly Name[],
): readonly Name[] {
  if (!Array.isArray(names)) throw invalid(field, 'must be a list, such as ["close"]');
  if (names.length === 0) throw invalid(field, "must not be empty");
  for (const name of names) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      throw invalid(field, `"${name}" is not an identifier`);
  }
  if (new Set(names).size !== names.length) throw invalid(field, "has a duplicate");
  return [...names];
}

/** A finite number. */
export function checkFinite(field: string, value: number): number {
  if (Number.isFinite(value)) return value;
  throw invalid(field, `must be a finite number, not ${String(value)}`);
}

/** A finite number or `null`. */
export function checkBound(field: string, value: number | null | undefined): number | null {
  return value === null || value === undefined ? null : checkFinite(field, value);
}
