import { parseInterval } from "@qmtl/sdk/config";
import { InvalidArgumentError } from "commander";

/** Bounds of a number on the command line, both included. */
export interface NumberRange {
  readonly min?: number;
  readonly max?: number;
}

/** Reads an option as a finite number; anything else is a usage error that names the option. */
export function numberIn(range: NumberRange = {}): (text: string) => number {
  return (text) => {
    const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
    return within(value, range, "a number");
  };
}

/** Reads an option as a whole number; anything else is a usage error that names the option. */
export function integerIn(range: NumberRange = {}): (text: string) => number {
  return (text) => {
    const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
    return within(Number.isSafeInteger(value) ? value : Number.NaN, range, "a whole number");
  };
}

/** Reads an option as an exact decimal, kept as text: `-0.25`, `100`. */
export function decimalText(text: string): string {
  if (/^-?\d{1,30}(\.\d{1,30})?$/.test(text)) return text;
  throw new InvalidArgumentError("It takes a decimal number, such as -0.25.");
}

/** Whole seconds of an interval, as the SDK reads it; undefined for any other text. */
export function secondsOfInterval(text: string): number | undefined {
  try {
    return parseInterval(text);
  } catch {
    return undefined;
  }
}

/** Whole seconds of an interval: `60`, `60s`, `1m`, `1h`, `1d` and `1w` all work. */
export function intervalSeconds(text: string): number {
  const seconds = secondsOfInterval(text);
  if (seconds !== undefined) return seconds;
  throw new InvalidArgumentError("It takes an interval: 60, 60s, 1m, 1h, 1d, 5d, 1w, 1mo, 1q, 1y.");
}

/** Collects an option that may be repeated and may hold several names with commas between. */
export function nameList(text: string, before: readonly string[] = []): string[] {
  const names = text.split(",").map((name) => name.trim());
  return [...before, ...names.filter((name) => name !== "")];
}

/** Collects an option that may be repeated. */
export function repeated(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}

function within(value: number, { min, max }: NumberRange, what: string): number {
  const isOk =
    Number.isFinite(value) &&
    value >= (min ?? Number.NEGATIVE_INFINITY) &&
    value <= (max ?? Number.POSITIVE_INFINITY);
  if (isOk) return value;
  const bounds =
    min !== undefined && max !== undefined
      ? ` of ${min}..${max}`
      : min !== undefined
        ? `, at least ${min}`
        : max !== undefined
          ? `, at most ${max}`
          : "";
  throw new InvalidArgumentError(`It takes ${what}${bounds}.`);
}
