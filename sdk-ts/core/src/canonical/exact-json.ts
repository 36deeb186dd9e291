import { jcsDepthMax } from "./jcs.ts";

/** Marks a number that JSON cannot represent. */
const tag = "$double";

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/**
 * JSON text of plain data from which each number comes back exactly: `-0`, `NaN` and the infinities are written like
 * `{"$double":"-0"}`, every other number in its shortest form. Keys are sorted, `undefined` properties are left out,
 * and there is no space: equal data have equal text.
 *
 * @throws {TypeError} for a function, symbol or bigint, for `undefined` that is not a property, for a key `$double` or
 * `__proto__`, and for nesting deeper than {@link jcsDepthMax}
 */
export function exactJson(value: unknown): string {
  return JSON.stringify(encoded(value, 0));
}

/** Reads back what {@link exactJson} wrote. @throws {SyntaxError} for text that is not JSON */
export function parseExactJson(text: string): unknown {
  const value = JSON.parse(text) as Json;
  return text.includes(tag) ? decoded(value) : value;
}

function encoded(value: unknown, depth: number): Json {
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number") {
    if (Number.isFinite(value) && !Object.is(value, -0)) return value;
    return { [tag]: Object.is(value, -0) ? "-0" : String(value) };
  }
  if (typeof value !== "object") throw new TypeError(`a ${typeof value} is no data`);
  if (depth >= jcsDepthMax) throw new TypeError(`nested deeper than ${jcsDepthMax} levels`);
  if (Array.isArray(value)) return value.map((item: unknown) => encoded(item, depth + 1));
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  const sorted: Record<string, Json> = {};
  for (const [key, member] of entries) {
    if (key === tag || key === "__proto__") throw new TypeError(`a key may not be ${key}`);
    sorted[key] = encoded(member, depth + 1);
  }
  return sorted;
}

function decoded(value: Json): Json {
  if (typeof value !== "object" || value === null) return value;
  if (isList(value)) return value.map(decoded);
  const number = value[tag];
  if (typeof number === "string") return Number(number);
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, decoded(member)]));
}

function isList(value: Exclude<Json, null>): value is readonly Json[] {
  return Array.isArray(value);
}
