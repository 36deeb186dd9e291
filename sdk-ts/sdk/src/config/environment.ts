import { parse } from "yaml";
import { z } from "zod";
import { isRecord } from "./config-document.ts";
import { ConfigError } from "./config-error.ts";
import { knownKeys, schemaAt } from "./schema-walk.ts";

const prefix = "QMTL__";

/** A key set by the environment. */
export interface Override {
  readonly variable: string;
  readonly path: readonly string[];
  readonly value: unknown;
}

/**
 * Reads `QMTL__SECTION__KEY` variables: `__` divides names, letter case does not matter, the value is read as YAML
 * (`7400`, `true`, `[a, b]`, `{env: NAME}`); where a key takes text alone, `7400` is text.
 *
 * @throws {ConfigError} `CONFIG_NOT_YAML`, naming the variable.
 */
export function readOverrides(
  env: Readonly<Record<string, string | undefined>>,
  data: Readonly<Record<string, unknown>>,
): Override[] {
  const overrides: Override[] = [];
  for (const variable of Object.keys(env).sort()) {
    const text = env[variable];
    if (text === undefined || !variable.startsWith(prefix)) continue;
    const path: string[] = [];
    for (const name of variable.slice(prefix.length).split("__"))
      path.push(realName(path, name, data));
    overrides.push({ variable, path, value: readValue(variable, path, text) });
  }
  return overrides;
}

/** The data with overrides put in; the data themselves are not changed. */
export function withOverrides(
  data: Readonly<Record<string, unknown>>,
  overrides: readonly Override[],
): Record<string, unknown> {
  const result = structuredClone({ ...data });
  for (const { path, value } of overrides) {
    let at = result;
    for (const name of path.slice(0, -1)) {
      const inner = at[name];
      const next = isRecord(inner) ? inner : {};
      at[name] = next;
      at = next;
    }
    at[path.at(-1)!] = value;
  }
  return result;
}

/** The key meant by an upper-case name: a known one, else one that stands in the file, else lower case. */
function realName(
  path: readonly string[],
  name: string,
  data: Readonly<Record<string, unknown>>,
): string {
  const lower = name.toLowerCase();
  let at: unknown = data;
  for (const key of path) at = isRecord(at) ? at[key] : undefined;
  const names = [...knownKeys(path), ...(isRecord(at) ? Object.keys(at) : [])];
  return names.find((one) => one.toLowerCase() === lower) ?? lower;
}

/** What YAML reads in the text; the text itself for a key that takes text alone, such as a name made of digits. */
function readValue(variable: string, path: readonly string[], text: string): unknown {
  try {
    const value: unknown = parse(text);
    if (typeof value !== "number" && typeof value !== "boolean") return value;
    const schema = schemaAt(path);
    const isTextMeant = schema !== undefined && !takes(schema, value) && takes(schema, text);
    return isTextMeant ? text : value;
  } catch (error) {
    const message = `${variable}: ${error instanceof Error ? error.message.split("\n")[0]?.replace(/ at line \d+.*$/, "") : "not YAML"}`;
    throw new ConfigError("CONFIG_NOT_YAML", undefined, [{ path: "", message }]);
  }
}

function takes(schema: z.core.$ZodType, value: unknown): boolean {
  return z.safeParse(schema, value).success;
}
