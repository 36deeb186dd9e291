import { z } from "zod";
import { isRecord } from "./config-document.ts";
import { ConfigError } from "./config-error.ts";
import { type LoadConfigOptions, loadConfigWithOrigins, overrideOf } from "./load-config.ts";
import { nearestName } from "./nearest-name.ts";
import { descriptionOf, knownKeys, leafKeys, schemaAt } from "./schema-walk.ts";

/** What a key means and has. */
export interface ConfigExplanation {
  readonly key: string;
  /** As in JSON Schema, e.g. `integer`, `"hot" | "cold"`, `string | null`. */
  readonly type: string;
  /** What applies when the key is left out; undefined if it has to be given. */
  readonly default: unknown;
  readonly description: string;
  readonly value: unknown;
  /** `default`, `FILE:LINE:COLUMN` or the name of an environment variable. */
  readonly origin: string;
}

/**
 * Explains one key, e.g. `gateway.port` or `sources.bars.speed`.
 *
 * @throws {ConfigError} `CONFIG_INVALID` for a key that does not exist, with the nearest one; and as `loadConfig`.
 */
export function explainConfig(key: string, options: LoadConfigOptions = {}): ConfigExplanation {
  const path = key.split(".");
  const schema = schemaAt(path);
  if (schema === undefined) throw unknownKey(key, path);
  const { config, document, overrides } = loadConfigWithOrigins(options);
  const json = jsonSchemaOf(schema);
  return {
    key,
    type: typeText(json),
    default: json.default,
    description: descriptionOf(schema),
    value: valueAt(config, path),
    origin: overrideOf(path, overrides)?.variable ?? fileOrigin(path) ?? "default",
  };

  function fileOrigin(names: readonly string[]): string | undefined {
    if (valueAt(document.data, names) === undefined) return undefined;
    const place = document.place(names, "key");
    return place && `${document.file}:${place.line}:${place.column}`;
  }
}

function unknownKey(key: string, path: readonly string[]): ConfigError {
  const parent = path.slice(0, -1);
  const sibling = nearestName(path.at(-1) ?? "", knownKeys(parent));
  const suggestion =
    sibling === undefined ? nearestName(key, leafKeys()) : [...parent, sibling].join(".");
  const issue = { path: key, message: "unknown key" };
  return new ConfigError("CONFIG_INVALID", undefined, [
    suggestion === undefined ? issue : { ...issue, suggestion },
  ]);
}

function valueAt(root: unknown, path: readonly string[]): unknown {
  let at: unknown = root;
  for (const name of path) {
    if (Array.isArray(at)) at = at[Number(name)];
    else at = isRecord(at) && Object.hasOwn(at, name) ? at[name] : undefined;
  }
  return at;
}

function jsonSchemaOf(schema: z.core.$ZodType): Record<string, unknown> {
  return { ...z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) };
}

function typeText(json: Record<string, unknown>): string {
  const options = json.anyOf;
  if (Array.isArray(options)) return options.filter(isRecord).map(typeText).join(" | ");
  if (Array.isArray(json.enum)) return json.enum.map((one) => JSON.stringify(one)).join(" | ");
  if ("const" in json) return JSON.stringify(json.const);
  if (isRecord(json.items)) return `list of ${typeText(json.items)}`;
  if (isRecord(json.properties)) return `{${Object.keys(json.properties).join(", ")}}`;
  return typeof json.type === "string" ? json.type : "any";
}
