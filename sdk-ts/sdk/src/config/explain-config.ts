import { z } from "zod";
import { isRecord } from "./config-document.ts";
import { ConfigError } from "./config-error.ts";
import { type DerivedValue, testBudgetValues } from "./derived-values.ts";
import { type LoadConfigOptions, loadConfigWithOrigins, overrideOf } from "./load-config.ts";
import { nearestName } from "./nearest-name.ts";
import { descriptionOf, knownKeys, leafKeys, schemaAt, valueAt } from "./schema-walk.ts";

/** The meaning, type, default and current value of one key. */
export interface ConfigExplanation {
  readonly key: string;
  /** As in JSON Schema, e.g. `integer`, `"hot" | "cold"`, `string | null`. */
  readonly type: string;
  /** Allowed range of a number, e.g. `1 to 65535`; absent without an upper bound. */
  readonly range?: string;
  /** The value that applies when the key is left out; undefined if the key is required. */
  readonly default: unknown;
  readonly description: string;
  readonly value: unknown;
  /**
   * `default`, `FILE:LINE:COLUMN`, the name of an environment variable, the keys it follows while it is left out, or
   * `no entry NAME` for a key of an entry that does not exist.
   */
  readonly origin: string;
  /** Values that this key gives to other keys while those are left out; absent if it gives none. */
  readonly sets?: Readonly<Record<string, unknown>>;
}

/**
 * Explains one key, e.g. `gateway.port` or `sources.bars.speed`.
 *
 * @throws {ConfigError} `CONFIG_INVALID` for a key that does not exist, suggesting the nearest one; otherwise as
 * `loadConfig`.
 */
export function explainConfig(key: string, options: LoadConfigOptions = {}): ConfigExplanation {
  const path = key.split(".");
  const schema = schemaAt(path);
  if (schema === undefined) throw unknownKey(key, path);
  const { config, document, overrides, derived } = loadConfigWithOrigins(options);
  const json = jsonSchemaOf(schema);
  return {
    key,
    type: typeText(json),
    ...rangeOf(json),
    default: json.default ?? z.safeParse(schema, undefined).data,
    description: descriptionOf(schema) || `An entry of ${path.slice(0, -1).join(".")}.`,
    value: valueAt(config, path),
    origin:
      derived.find((one) => one.key === key)?.origin ??
      overrideOf(path, overrides)?.variable ??
      fileOrigin(path) ??
      missingEntry(path, config) ??
      "default",
    ...(key === "test.test_mode" ? { sets: recordOf(testBudgetValues()) } : {}),
  };

  function fileOrigin(names: readonly string[]): string | undefined {
    if (valueAt(document.data, names) === undefined) return undefined;
    const place = document.place(names, "key");
    return place && `${document.file}:${place.line}:${place.column}`;
  }
}

/** `no entry NAME` if a key belongs to a named entry that does not exist; otherwise undefined. */
function missingEntry(path: readonly string[], config: unknown): string | undefined {
  for (let length = 2; length <= path.length; length++) {
    const entry = path.slice(0, length);
    const isNamed = knownKeys(entry.slice(0, -1)).length === 0;
    if (isNamed && valueAt(config, entry) === undefined) return `no entry ${entry.join(".")}`;
  }
  return undefined;
}

function recordOf(values: readonly DerivedValue[]): Record<string, unknown> {
  return Object.fromEntries(values.map(({ key, value }) => [key, value]));
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
  if (isRecord(json.additionalProperties)) return `{NAME: ${typeText(json.additionalProperties)}}`;
  if (Array.isArray(json.type)) return json.type.join(" | ");
  return typeof json.type === "string" ? json.type : "any";
}

function rangeOf(json: Record<string, unknown>): { readonly range?: string } {
  const bounds = [json, ...(Array.isArray(json.anyOf) ? json.anyOf.filter(isRecord) : [])];
  const bound = (name: string) => bounds.map((one) => one[name]).find((one) => one !== undefined);
  const [maximum, above] = [bound("maximum"), bound("exclusiveMinimum")];
  if (maximum === undefined) return {};
  const least = above === undefined ? bound("minimum") : `above ${above},`;
  return { range: `${least} to ${maximum}` };
}
