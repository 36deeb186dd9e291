import type { FoldState, NodeParams, ParamValue } from "@qmtl/core/nodes";
import { DeclarationError, invalid } from "./declaration-error.ts";
import { checkIdentifiers } from "./fields.ts";

const FIELDS_MAX = 64;
const NUMBERS_MAX = 8_192;
const TEXT_BYTES_MAX = 65_536;

/**
 * A copy of the state before the first row.
 *
 * @param field name in the error, such as `FoldNode.initial`
 * @throws {DeclarationError} `STATE_TOO_LARGE` beyond 64 fields or 8,192 numbers; naming the field of any other type.
 */
export function checkInitial(field: string, initial: FoldState): FoldState {
  const isPlain =
    typeof initial === "object" &&
    initial !== null &&
    Object.getPrototypeOf(initial) === Object.prototype;
  if (!isPlain) throw invalid(field, "must be an object of the state's fields, as in { mean: 0 }");
  const entries = Object.entries(initial);
  if (entries.length === 0) {
    throw invalid(field, "needs a field; a function without a state is declared by derive");
  }
  checkIdentifiers(
    field,
    entries.map(([name]) => name),
  );
  if (entries.length > FIELDS_MAX) {
    throw tooLarge(field, `has ${entries.length} fields, of at most ${FIELDS_MAX}`);
  }
  let size = 0;
  for (const [name, value] of entries) {
    if (value instanceof Float64Array) size += value.length;
    else if (typeof value === "number" || typeof value === "boolean") size++;
    else throw invalid(`${field}.${name}`, `must be ${kinds}, not ${typeof value}`);
  }
  if (size > NUMBERS_MAX) {
    throw tooLarge(field, `has ${size} numbers, of at most ${NUMBERS_MAX}`);
  }
  return Object.fromEntries(
    entries.map(([name, value]) => [name, value instanceof Float64Array ? value.slice() : value]),
  );
}

const kinds = "a number, a boolean or a Float64Array";

/**
 * A state as it stands in a node id: numbers that JSON lacks as text, arrays as lists, and one of equal numbers as
 * `{ n, fill }`.
 *
 * @throws {DeclarationError} `STATE_TOO_LARGE` when that is more text than params may have.
 */
export function initialParam(field: string, initial: FoldState): NodeParams {
  const params = Object.fromEntries(
    Object.entries(initial).map(([name, value]) => [name, valueParam(value)]),
  );
  const bytes = JSON.stringify(params).length; // names and numbers are ASCII
  if (bytes <= TEXT_BYTES_MAX) return params;
  throw tooLarge(field, `is ${bytes} bytes as part of the node id, of at most ${TEXT_BYTES_MAX}`);
}

function valueParam(value: FoldState[string]): ParamValue {
  if (typeof value === "boolean") return value;
  if (typeof value === "number") return numberParam(value);
  const [first] = value;
  if (first !== undefined && value.every((each) => Object.is(each, first))) {
    return { n: value.length, fill: numberParam(first) };
  }
  return Array.from(value, numberParam);
}

function numberParam(value: number): number | string {
  if (Object.is(value, -0)) return "-0";
  return Number.isFinite(value) ? value : String(value);
}

function tooLarge(field: string, problem: string): DeclarationError {
  return new DeclarationError("STATE_TOO_LARGE", field, problem);
}
