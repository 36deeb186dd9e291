import type { NodeParams, ParamValue } from "@qmtl/core/nodes";
import { DeclarationError, invalid } from "./declaration-error.ts";

const RESERVED = new Set([
  "world",
  "world_id",
  "world_ids",
  "execution_world",
  "execution_domain",
  "domain",
  "as_of",
  "partition",
  "dataset_fingerprint",
  "env",
  "on_missing", // a node option that is part of the node id under this name
]);

/**
 * A frozen copy of params. They are part of the node id, so they must be plain JSON, and names for where a node runs
 * (world, domain, as_of, env, …) are refused at every depth.
 *
 * @throws {DeclarationError} naming the field.
 */
export function checkParams(field: string, params: NodeParams): NodeParams {
  return copyObject(field, params);
}

function copyObject(field: string, value: Readonly<Record<string, ParamValue>>): NodeParams {
  const copy: Record<string, ParamValue> = {};
  for (const [name, each] of Object.entries(value)) {
    const lower = name.toLowerCase();
    if (RESERVED.has(lower) || lower.startsWith("env_")) {
      const problem = "is reserved: a node must not depend on where it runs";
      throw new DeclarationError("RESERVED_PARAM", `${field}.${name}`, problem);
    }
    copy[name] = copyValue(`${field}.${name}`, each);
  }
  return Object.freeze(copy);
}

function copyValue(field: string, value: ParamValue): ParamValue {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") {
    if (Number.isFinite(value)) return value;
    throw invalid(field, `must be a finite number, not ${value}`);
  }
  if (Array.isArray(value)) {
    return Object.freeze(value.map((each: ParamValue, k) => copyValue(`${field}[${k}]`, each)));
  }
  const isPlain = typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype;
  if (!isPlain) throw invalid(field, `must be plain JSON, not ${typeof value}`);
  return copyObject(field, value as Readonly<Record<string, ParamValue>>);
}
