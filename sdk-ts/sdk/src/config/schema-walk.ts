import { z } from "zod";
import { isRecord } from "./config-document.ts";
import { configSchema } from "./config-schema.ts";

/** The schema of the value at a path, wrappers (defaults, null) included; undefined if there is no such key. */
export function schemaAt(path: readonly PropertyKey[]): z.core.$ZodType | undefined {
  let schema: z.core.$ZodType | undefined = configSchema;
  for (const key of path) {
    const inner: z.core.$ZodType | undefined = schema && bare(schema);
    if (inner instanceof z.ZodObject) schema = inner.shape[String(key)];
    else if (inner instanceof z.ZodRecord) schema = inner.valueType;
    else if (inner instanceof z.ZodArray) schema = inner.element;
    else return undefined;
  }
  return schema;
}

/** Keys that the schema names below a path; empty where any name is allowed, or no key is. */
export function knownKeys(path: readonly PropertyKey[]): string[] {
  const schema = schemaAt(path);
  const inner = schema && bare(schema);
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
}

/** The value at a path of `root`; undefined if there is none. */
export function valueAt(root: unknown, path: readonly string[]): unknown {
  let at: unknown = root;
  for (const name of path) {
    if (Array.isArray(at)) at = at[Number(name)];
    else at = isRecord(at) && Object.hasOwn(at, name) ? at[name] : undefined;
  }
  return at;
}

/** The description of a key; empty if it has none. */
export function descriptionOf(schema: z.core.$ZodType): string {
  return z.globalRegistry.get(schema)?.description ?? "";
}

/** All keys with a value of their own, e.g. `gateway.port`; `*` stands for a free name. */
export function leafKeys(path: readonly string[] = []): string[] {
  const schema = schemaAt(path);
  const inner = schema && bare(schema);
  if (inner instanceof z.ZodObject) {
    return Object.keys(inner.shape).flatMap((key) => leafKeys([...path, key]));
  }
  if (inner instanceof z.ZodRecord) return leafKeys([...path, "*"]);
  return [path.join(".")];
}

function bare(schema: z.core.$ZodType): z.core.$ZodType {
  let inner = schema;
  while (
    inner instanceof z.ZodDefault ||
    inner instanceof z.ZodPrefault ||
    inner instanceof z.ZodNullable ||
    inner instanceof z.ZodOptional
  ) {
    inner = inner.unwrap();
  }
  return inner;
}
