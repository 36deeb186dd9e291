import { dirname, resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { type ConfigDocument, isRecord, readConfigDocument } from "./config-document.ts";
import { ConfigError, type ConfigIssue } from "./config-error.ts";
import { configSchema, type QmtlConfig } from "./config-schema.ts";
import { type DerivedValue, derivedValues, withDerived } from "./derived-values.ts";
import { nearestName } from "./nearest-name.ts";
import { knownKeys, schemaAt, valueAt } from "./schema-walk.ts";
import type { SecretRef } from "./secret-ref.ts";

/** Where a configuration is loaded from. */
export interface LoadConfigOptions {
  /** The file. @default `qmtl.yml`, then `qmtl.yaml` in `cwd`; without either, defaults apply */
  readonly path?: string | undefined;
  /** Folder in which the file is looked for. @default the working directory of the process */
  readonly cwd?: string | undefined;
  /** Environment variables, such as `QMTL__GATEWAY__PORT`, that override the file. @default those of the process */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

/** A configuration with what is needed to say where each value came from. */
export interface LoadedConfig {
  readonly config: QmtlConfig;
  readonly document: ConfigDocument;
  readonly overrides: readonly Override[];
  /** Values that follow from others. */
  readonly derived: readonly DerivedValue[];
}

/**
 * Loads `qmtl.yml`, applies overrides from the environment, checks everything and fills in the defaults. Relative paths
 * become absolute, from the folder of the file or, without a file, from `cwd`. Secrets stay references: see
 * `resolveSecret`.
 *
 * @param options file, folder and environment. @default {}
 * @returns the whole configuration
 * @throws {ConfigError} with every issue at once.
 */
export function loadConfig(options: LoadConfigOptions = {}): QmtlConfig {
  return loadConfigWithOrigins(options).config;
}

/** {@link loadConfig}, with the origins of values. */
export function loadConfigWithOrigins(options: LoadConfigOptions = {}): LoadedConfig {
  const cwd = resolve(options.cwd ?? ".");
  const document = readConfigDocument(options.path, cwd);
  const overrides = readOverrides(options.env ?? process.env, document.data);
  const data = withOverrides(document.data, overrides);
  const result = configSchema.safeParse(data, { reportInput: true });
  if (!result.success) {
    const issues = result.error.issues.flatMap((issue) => toIssues(issue, document, overrides));
    throw new ConfigError("CONFIG_INVALID", document.file, issues);
  }
  const folder = document.file === undefined ? cwd : dirname(document.file);
  const derived = derivedValues(result.data, (path) => valueAt(data, path) !== undefined);
  const config = withAbsolutePaths(withDerived(result.data, derived), folder);
  return { config, document, overrides, derived };
}

function toIssues(
  issue: z.core.$ZodIssue,
  document: ConfigDocument,
  overrides: readonly Override[],
): ConfigIssue[] {
  if (issue.code !== "unrecognized_keys") {
    const found = placed(issue.path, issueText(issue), "value", document, overrides, alsoOf(issue));
    const suggestion = nearestValue(issue);
    return [suggestion === undefined ? found : { ...found, suggestion }];
  }
  return issue.keys.map((key) => {
    const known = knownKeys(issue.path);
    const suggestion = nearestName(key, known);
    const message = `unknown key; the keys here are ${known.join(", ")}`;
    const found = placed([...issue.path, key], message, "key", document, overrides);
    return suggestion === undefined ? found : { ...found, suggestion };
  });
}

/** The allowed value that a misspelt one probably means. */
function nearestValue(issue: z.core.$ZodIssue): string | undefined {
  if (issue.code !== "invalid_value" || typeof issue.input !== "string") return undefined;
  return nearestName(
    issue.input,
    issue.values.filter((one) => typeof one === "string"),
  );
}

/** The other key of a conflict, which gives the position when the first is not in the file. */
function alsoOf(issue: z.core.$ZodIssue): readonly string[] | undefined {
  const also: unknown = issue.code === "custom" ? issue.params?.also : undefined;
  return Array.isArray(also) ? also.map(String) : undefined;
}

function placed(
  path: readonly PropertyKey[],
  message: string,
  of: "key" | "value",
  document: ConfigDocument,
  overrides: readonly Override[],
  also?: readonly string[],
): ConfigIssue {
  const names = path.map(String);
  const text = names.join(".");
  const placed = document.place(path, of);
  const override =
    overrideOf(names, overrides) ??
    (placed === undefined && also !== undefined ? overrideOf(also, overrides) : undefined);
  if (override !== undefined)
    return { path: text, message: `${message} (set by ${override.variable})` };
  const place = placed ?? (also && document.place(also, of));
  const cause = also === undefined ? overrideBelow(names, document, overrides) : undefined;
  if (cause !== undefined) {
    const isBelow = cause.path.length > names.length;
    const word =
      isBelow && names.every((name, index) => cause.path[index] === name) ? "set by" : "with";
    return { path: text, message: `${message} (${word} ${cause.variable})` };
  }
  return place === undefined ? { path: text, message } : { path: text, message, ...place };
}

/** The override that set a path or a key above it; the last one applied wins. */
export function overrideOf(
  path: readonly string[],
  overrides: readonly Override[],
): Override | undefined {
  return overrides.findLast((one) => one.path.every((name, index) => path[index] === name));
}

/** The override that created a path, or a section above it, that the file does not have. */
function overrideBelow(
  path: readonly string[],
  { data }: ConfigDocument,
  overrides: readonly Override[],
): Override | undefined {
  for (let length = path.length; length > 0; length--) {
    const above = path.slice(0, length);
    if (valueAt(data, above) !== undefined) return undefined;
    const made = overrides.find((one) => above.every((name, index) => one.path[index] === name));
    if (made !== undefined) return made;
  }
  return undefined;
}

function withAbsolutePaths(config: QmtlConfig, folder: string): QmtlConfig {
  const at = (path: string): string => resolve(folder, path);
  const secret = (ref: SecretRef): SecretRef => ("file" in ref ? { file: at(ref.file) } : ref);
  const { storage, security, cache } = config;
  const sources = Object.entries(config.sources).map(([name, source]) => {
    const history_file = source.history_file === null ? null : at(source.history_file);
    return [name, { ...source, file: at(source.file), history_file }] as const;
  });
  const keys = Object.entries(security.keys).map(
    ([id, key]) => [id, { ...key, secret: secret(key.secret) }] as const,
  );
  const gateways = Object.entries(security.gateways).map(
    ([id, gateway]) => [id, { secret: secret(gateway.secret) }] as const,
  );
  const tls =
    security.tls === null ? null : { cert: at(security.tls.cert), key: at(security.tls.key) };
  return {
    ...config,
    sources: Object.fromEntries(sources),
    storage: {
      ...storage,
      data_dir: at(storage.data_dir),
      dsn: storage.dsn === null ? null : secret(storage.dsn),
    },
    security: {
      keys: Object.fromEntries(keys),
      gateways: Object.fromEntries(gateways),
      tls,
      ca_file: security.ca_file === null ? null : at(security.ca_file),
    },
    cache: { tagquery_cache_path: at(cache.tagquery_cache_path) },
  };
}

const prefix = "QMTL__";

/** A key set by the environment. */
interface Override {
  readonly variable: string;
  readonly path: readonly string[];
  readonly value: unknown;
}

/**
 * Reads `QMTL__SECTION__KEY` variables: `__` separates names, letter case does not matter, and the value is read as
 * YAML (`7400`, `true`, `[a, b]`, `{env: NAME}`); for a key that takes only text, `7400` is text.
 *
 * @throws {ConfigError} `CONFIG_NOT_YAML`, naming the variable.
 */
function readOverrides(
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

/** A copy of the data with the overrides applied. */
function withOverrides(
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

/** The key meant by an upper-case name: a key of the schema, else a key in the file, else the name in lower case. */
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

/** The text parsed as YAML; the text itself for a key that takes only text, such as a name made of digits. */
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

/** Longest value that a message quotes, in characters. */
const quotedMax = 40;

const kinds: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a section with keys below it",
  record: "a section with names below it",
};

/** What is wrong with a value, as the author of the file would put it. */
function issueText(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return wrongType(issue.expected, issue.input);
    case "too_small":
      return outOfRange(issue.origin, issue.minimum, issue.inclusive === false, "least");
    case "too_big":
      return outOfRange(issue.origin, issue.maximum, issue.inclusive === false, "most");
    case "invalid_value":
      return `must be ${issue.values.length > 1 ? "one of " : ""}${issue.values.map(String).join(", ")}`;
    case "invalid_union":
      return issue.message === "Invalid input" ? noneOf(issue) : issue.message;
    case "invalid_key":
      return `not a name: ${issue.issues[0]?.message}`;
    default:
      return issue.message.replace(/^Invalid input: /, "");
  }
}

function wrongType(expected: string, input: unknown): string {
  if (input === undefined) return "is required";
  const isSection = expected === "object" || expected === "record";
  if (input === null)
    return isSection
      ? "is empty: add its keys below it, or leave it out"
      : "is empty: give it a value, or leave it out";
  const wanted = `must be ${kinds[expected] ?? expected}`;
  if (typeof input === "number" || typeof input === "boolean") {
    const advice = expected === "string" ? "; put it in quotes" : "";
    return `${wanted}, not ${input}${advice}`;
  }
  if (typeof input !== "string")
    return `${wanted}, not ${Array.isArray(input) ? "a list" : "a section"}`;
  if (expected === "array") return `${wanted}, such as [a, b], not text`;
  // Text where a section belongs may be a secret, so it is not quoted; in place of a switch or a number it is not one.
  if (isSection || input.length > quotedMax) return `${wanted}, not text`;
  const isQuoted = expected !== "boolean" && input.trim() !== "" && Number.isFinite(Number(input));
  return `${wanted}, not the text "${input}"${isQuoted ? "; leave the quotes out" : ""}`;
}

function outOfRange(
  origin: string,
  bound: number | bigint,
  isExclusive: boolean,
  side: "least" | "most",
): string {
  if (origin === "string")
    return side === "least" && Number(bound) === 1
      ? "must not be empty"
      : `must be ${bound} letters at ${side}`;
  if (origin === "array") return `must have ${bound} entries at ${side}`;
  if (isExclusive) return `must be ${side === "least" ? "above" : "below"} ${bound}`;
  return `must be at ${side} ${bound}`;
}

/** What each alternative of a union requires. */
function noneOf({ errors }: Extract<z.core.$ZodIssue, { code: "invalid_union" }>): string {
  const wants = errors.flatMap(([first]) => (first === undefined ? [] : [issueText(first)]));
  return wants.length === 0 ? "is not valid" : [...new Set(wants)].join("; or ");
}
