import { invalid } from "./declaration-error.ts";

/** Seconds, or text such as `"60s"`, `"1m"`, `"1h"`, `"1d"`. */
export type IntervalInput = number | string;

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;
const INTERVAL_SECONDS_MAX = 86_400;
const PERIOD_MAX = 10_000;
const NAME_LENGTH_MAX = 200;
const TAG_LENGTH_MAX = 100;

/** Whole seconds of an interval, 1..86400. */
export function parseInterval(field: string, value: IntervalInput): number {
  let seconds = value;
  if (typeof seconds === "string") {
    const match = /^(\d+)([smhd])$/.exec(seconds);
    if (match === null) {
      throw invalid(field, `"${seconds}" is no interval; write 60, "60s", "1m", "1h" or "1d"`);
    }
    seconds = Number(match[1]) * SECONDS[match[2] as keyof typeof SECONDS];
  }
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > INTERVAL_SECONDS_MAX) {
    throw invalid(field, `must be 1..${INTERVAL_SECONDS_MAX} whole seconds, not ${String(value)}`);
  }
  return seconds;
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
  throw invalid(field, `must be a text of 1..${NAME_LENGTH_MAX} characters`);
}

/** Tags as a sorted list: distinct, 1..100 characters of `A-Z a-z 0-9 _ . -`. */
export function checkTags(field: string, tags: readonly string[]): readonly string[] {
  for (const tag of tags) {
    if (!/^[A-Za-z0-9_.-]+$/.test(tag) || tag.length > TAG_LENGTH_MAX) {
      throw invalid(field, `"${tag}" must be 1..${TAG_LENGTH_MAX} characters of A-Za-z0-9_.-`);
    }
  }
  if (new Set(tags).size !== tags.length) throw invalid(field, "has a duplicate");
  return [...tags].sort();
}

/** Distinct column or port names that are identifiers, in the given order. */
export function checkIdentifiers(field: string, names: readonly string[]): readonly string[] {
  if (names.length === 0) throw invalid(field, "must not be empty");
  for (const name of names) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw invalid(field, `"${name}" is no identifier`);
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
