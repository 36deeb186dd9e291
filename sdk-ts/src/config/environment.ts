import { parse } from "yaml";
import { isRecord } from "./config-document.ts";
import { ConfigError } from "./config-error.ts";
import { knownKeys } from "./schema-walk.ts";

const prefix = "QMTL__";

/** A key set by the environment. */
export interface Override {
  readonly variable: string;
  readonly path: readonly string[];
  readonly value: unknown;
}

/**
 * Reads `QMTL__SECTION__KEY` variables: `__` divides names, letter case does not matter, the value is read as YAML
 * (`7400`, `true`, `[a, b]`, `{env: NAME}`).
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
    overrides.push({ variable, path, value: readValue(variable, text) });
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

function readValue(variable: string, text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    const message = `${variable}: ${error instanceof Error ? error.message.split("\n")[0] : "not YAML"}`;
    throw new ConfigError("CONFIG_NOT_YAML", undefined, [{ path: "", message }]);
  }
}
