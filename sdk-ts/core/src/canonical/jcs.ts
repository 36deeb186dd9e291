import canonicalize from "canonicalize";
import { IdentityError } from "./identity-error.ts";

/** Deepest nesting of a canonical value. Deeper input is refused. */
export const jcsDepthMax = 1_000;

// With the u flag a pair of surrogates is one character, so this finds single ones only.
const loneSurrogate = /\p{Surrogate}/u;

/**
 * Canonical JSON text of a value by RFC 8785 (JCS): keys sorted by UTF-16 code unit, shortest number form, no space.
 *
 * Only JSON data pass: null, booleans, finite numbers, well-formed strings, arrays and plain objects. `-0` is written
 * `0`. Nothing is dropped silently: an `undefined` property is refused like any other value JSON cannot hold.
 *
 * @throws {IdentityError} `NOT_CANONICAL`, with the path of the first offending value.
 */
export function jcs(value: unknown): string {
  assertCanonical(value, "$", 0);
  const text = canonicalize(value);
  if (text === undefined) throw refused("$", "has no JSON form");
  return text;
}

function assertCanonical(value: unknown, path: string, depth: number): void {
  if (value === null || typeof value === "boolean") return;
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw refused(path, `is ${value}, which JSON cannot hold`);
    return;
  }
  if (typeof value === "string") {
    if (loneSurrogate.test(value)) throw refused(path, "is a string with a lone surrogate");
    return;
  }
  if (typeof value !== "object") throw refused(path, `is ${describe(value)}`);
  if (depth >= jcsDepthMax) throw refused(path, `is nested deeper than ${jcsDepthMax} levels`);
  if (Array.isArray(value)) assertArray(value, path, depth);
  else assertPlainObject(value, path, depth);
}

function assertArray(value: readonly unknown[], path: string, depth: number): void {
  for (let index = 0; index < value.length; index++) {
    assertCanonical(value[index], `${path}[${index}]`, depth + 1);
  }
}

function assertPlainObject(value: object, path: string, depth: number): void {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw refused(path, `is a ${value.constructor?.name ?? "foreign object"}, not plain data`);
  }
  for (const [key, member] of Object.entries(value)) {
    if (loneSurrogate.test(key)) throw refused(path, "has a key with a lone surrogate");
    assertCanonical(member, `${path}.${key}`, depth + 1);
  }
}

function describe(value: unknown): string {
  return value === undefined ? "undefined" : `a ${typeof value}`;
}

function refused(path: string, what: string): IdentityError {
  return new IdentityError("NOT_CANONICAL", path, `${path} ${what}`);
}
