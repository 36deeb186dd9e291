import type { SqlParam } from "./db.ts";

/** A parameter as it goes over the wire: text, bytes (binary format) or NULL. */
export type EncodedParam = string | Uint8Array | null;

/** Encodes parameters the same way for every adapter. @throws {TypeError} on undefined and objects. */
export function encodeParams(params: readonly SqlParam[]): EncodedParam[] {
  return params.map((param, index) => {
    if (param instanceof Uint8Array) return param;
    if (Array.isArray(param)) return arrayLiteral(param, index);
    return scalarText(param, index);
  });
}

function scalarText(param: SqlParam, index: number): string | null {
  if (param === null) return null;
  switch (typeof param) {
    case "string":
      return param;
    case "number":
      return Object.is(param, -0) ? "-0" : String(param);
    case "bigint":
      return param.toString();
    case "boolean":
      return param ? "true" : "false";
    default:
      if (param instanceof Date) return param.toISOString();
      throw new TypeError(
        `parameter $${index + 1} is ${typeof param}; pass json as JSON.stringify`,
      );
  }
}

function arrayLiteral(items: readonly SqlParam[], index: number): string {
  const parts = items.map((item) => {
    if (Array.isArray(item)) return arrayLiteral(item, index);
    const text = item instanceof Uint8Array ? `\\x${hex(item)}` : scalarText(item, index);
    if (text === null) return "NULL";
    return `"${text.replace(/["\\]/g, "\\$&")}"`;
  });
  return `{${parts.join(",")}}`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
