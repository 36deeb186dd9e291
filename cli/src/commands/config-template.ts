import { join } from "node:path";
import { derivedKeys, loadConfig } from "@qmtl/sdk/config";
import { stringify } from "yaml";

/** The parts of a JSON schema that the template is made from. */
interface Schema {
  readonly description?: string;
  readonly default?: unknown;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
}

/** `minimal`: the keys a first project changes. `maximal`: all there are. */
export type ConfigProfile = "minimal" | "maximal";

const HEADS: Readonly<Record<ConfigProfile, string>> = {
  minimal: `# QMTL configuration: the keys a first project changes. Everything else has its default:
# \`qmtl config explain\` shows all, \`qmtl config generate --profile maximal\` writes them.
`,
  maximal: `# QMTL configuration: every key, with its default. All are optional except those marked as needed; the default of
# one in a comment depends on other keys. The environment overrides a key: gateway.port is
# QMTL__GATEWAY__PORT. \`qmtl config explain KEY\` says more.
`,
};

/** Keys of the minimal profile, `*` for an entry's name; each brings the sections above it. */
const minimalKeys = [
  "project.name",
  "sources.*.file",
  "sources.*.history_file",
  "sources.*.interval",
  "sources.*.start",
  "instruments.*.mark_source",
  "instruments.*.lot",
  "accounts.*.initial_cash",
  "accounts.*.instruments",
  "gateway.port",
  "storage.kind",
  "storage.data_dir",
  "sdk.gateway_url",
  "sdk.execution_domain",
  "test.test_mode",
];

/** Keys that are commented out: written, they would no longer follow others. `sdk.execution_domain` does so as null. */
const followed: ReadonlySet<string> = new Set(
  derivedKeys.filter((key) => key !== "sdk.execution_domain"),
);

/** Stands in an example for a name or text that only the author can know. */
const placeholder = "name";

/**
 * A `qmtl.yml` with the keys of a profile, each with its meaning, range and default. Entries with names of their own
 * (sources, instruments, accounts, keys) are shown as examples in comments.
 *
 * @param schema JSON schema of the file, as `configJsonSchema` gives it
 * @param profile @default "maximal"
 */
export function configTemplate(
  schema: Readonly<Record<string, unknown>>,
  profile: ConfigProfile = "maximal",
): string {
  const example = exampleConfig();
  const defaultOf: DefaultOf = (path) => {
    let value: unknown = example;
    for (const name of path) {
      const entries = typeof value === "object" && value !== null ? Object.entries(value) : [];
      value = entries.find(([key]) => key === name)?.[1];
    }
    return value;
  };
  const shape = profile === "maximal" ? schema : minimalOf(schema, []);
  return `${HEADS[profile]}\n${keys(shape, [], defaultOf).join("\n").trimEnd()}\n`;
}

/** The schema with the keys of the minimal profile alone. */
function minimalOf(schema: Schema, path: readonly string[]): Schema {
  const isWanted = (key: string): boolean => {
    const name = [...path, key].join(".");
    return minimalKeys.some((each) => each === name || each.startsWith(`${name}.`));
  };
  const wanted = Object.entries(schema.properties ?? {}).filter(([key]) => isWanted(key));
  const inner = schema.additionalProperties;
  return {
    ...schema,
    ...(schema.properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(
            wanted.map(([key, each]) => [key, minimalOf(each, [...path, key])]),
          ),
        }),
    ...(typeof inner === "object"
      ? { additionalProperties: minimalOf(inner, [...path, "*"]) }
      : {}),
  };
}

/** Default of a key by its path, for keys whose schema states none because their values are converted when read. */
type DefaultOf = (path: readonly string[]) => unknown;

/** A configuration with one entry of each kind that has names of its own. */
function exampleConfig(): unknown {
  return loadConfig({
    cwd: join(import.meta.dirname, "no-such-folder"),
    env: {
      QMTL__SOURCES__NAME: `{file: ${placeholder}}`,
      QMTL__INSTRUMENTS__NAME: `{mark_source: ${placeholder}}`,
      QMTL__ACCOUNTS__NAME: `{instruments: [${placeholder}]}`,
    },
  });
}

function keys(schema: Schema, path: readonly string[], defaultOf: DefaultOf): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, inner]) => {
    const isNeeded = schema.required?.includes(key) === true;
    const lines = oneKey(key, inner, isNeeded, [...path, key], defaultOf);
    return path.length === 0 ? [...lines, ""] : lines;
  });
}

function oneKey(
  key: string,
  schema: Schema,
  isNeeded: boolean,
  path: readonly string[],
  defaultOf: DefaultOf,
): string[] {
  const about = comment([schema.description ?? "", rangeText(schema), isNeeded ? "Needed." : ""]);
  const shape = withoutNull(schema);
  if (typeof shape.additionalProperties === "object") {
    const example = keys(shape.additionalProperties, [...path, placeholder], defaultOf);
    const named = shape.properties === undefined ? [`${placeholder}:`, ...indented(example)] : [];
    return [...about, `${key}: {}`, ...indented(named).map((line) => `# ${line}`)];
  }
  const isSection = shape.properties !== undefined && schema.default !== null;
  if (isSection) return [...about, `${key}:`, ...indented(keys(shape, path, defaultOf))];
  const isExample = path.join(".") === `accounts.${placeholder}.instruments`;
  const usual = isExample ? undefined : schema.default;
  const value = isNeeded ? exampleOf(shape) : (usual ?? defaultOf(path) ?? null);
  const written = `${key}: ${stringify(value, { collectionStyle: "flow", lineWidth: 0 }).trim()}`;
  const line = followed.has(path.join(".")) ? `# ${written}` : written;
  if (shape.properties === undefined) return [...about, line];
  const members = indented(keys(shape, path, defaultOf));
  return [...about, line, ...members.map((each) => `# ${each}`)];
}

const indented = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);

function comment(parts: readonly string[]): string[] {
  const text = parts.filter((part) => part !== "").join(" ");
  return text === "" ? [] : [`# ${text}`];
}

/** The schema of a nullable value without its null. */
function withoutNull(schema: Schema): Schema {
  const others = schema.anyOf?.filter((one) => one.type !== "null") ?? [];
  return others.length === 1 && others[0] !== undefined ? others[0] : schema;
}

function rangeText(schema: Schema): string {
  const { enum: choices, const: only, minimum, maximum } = withoutNull(schema);
  if (choices !== undefined) return `One of ${choices.join(", ")}.`;
  if (only !== undefined) return `Only ${String(only)}.`;
  if (minimum !== undefined && maximum !== undefined) return `${minimum} to ${maximum}.`;
  return "";
}

/** A value of the right kind where there is no default. */
function exampleOf(schema: Schema): unknown {
  if (schema.enum !== undefined) return schema.enum[0];
  if (schema.properties !== undefined) {
    const needed = Object.entries(schema.properties).filter(([key]) =>
      schema.required?.includes(key),
    );
    return Object.fromEntries(needed.map(([key, inner]) => [key, exampleOf(inner)]));
  }
  const [first] = schema.anyOf ?? [];
  if (first !== undefined) return exampleOf(first);
  return schema.type === "integer" || schema.type === "number" ? 1 : placeholder;
}
