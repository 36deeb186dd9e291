import {
  type ConfigExplanation,
  explainConfig,
  type LoadConfigOptions,
  leafKeys,
  loadConfig,
} from "@qmtl/sdk/config";
import { printJson, printTable } from "../print.ts";

/** Explains every key that has a value of its own; those of named entries once for each entry there is. */
export function explainAll(options: LoadConfigOptions): ConfigExplanation[] {
  const config: unknown = loadConfig(options);
  return leafKeys()
    .flatMap((leaf) => namedKeys(leaf.split("."), config))
    .map((path) => explainConfig(path.join("."), options));
}

export function printExplanation(explained: ConfigExplanation, asJson: boolean): void {
  const variable = variableOf(explained.key);
  if (asJson) {
    printJson({ ...explained, variable });
    return;
  }
  const { key, description, type, range, origin, value } = explained;
  console.log(key);
  const rows = [
    ["meaning", description],
    ["type", range === undefined ? type : `${type}, ${range}`],
    [
      "default",
      JSON.stringify(explained.default) ?? (type.startsWith("{") ? "none" : "none: it is needed"),
    ],
    ["environment", variable],
    ["value", value === undefined ? "none" : JSON.stringify(value)],
    ["from", origin],
    ...Object.entries(explained.sets ?? {}).map(([other, set], index) => [
      index === 0 ? "when on" : "",
      `${other} is ${JSON.stringify(set)} while it is left out`,
    ]),
  ];
  for (const [name = "", text = ""] of rows) console.log(`  ${name.padEnd(12)} ${text}`);
}

export function printExplanations(all: readonly ConfigExplanation[], asJson: boolean): void {
  if (asJson) {
    printJson(all.map((each) => ({ ...each, variable: variableOf(each.key) })));
    return;
  }
  printTable(
    ["key", "value", "from"],
    all.map(({ key, value, origin }) => [key, JSON.stringify(value) ?? "none", origin]),
  );
}

/** The environment variable that overrides a key. */
function variableOf(key: string): string {
  return `QMTL__${key.split(".").join("__").toUpperCase()}`;
}

/** `sources.*.file` as `sources.day.file`, for each source there is. */
function namedKeys(path: readonly string[], root: unknown): string[][] {
  let found: { path: string[]; value: unknown }[] = [{ path: [], value: root }];
  for (const part of path) {
    found = found.flatMap(({ path: above, value }) => {
      const entries = typeof value === "object" && value !== null ? Object.entries(value) : [];
      if (part !== "*") {
        const inner = entries.find(([name]) => name === part)?.[1];
        return [{ path: [...above, part], value: inner }];
      }
      return entries.map(([name, inner]) => ({ path: [...above, name], value: inner }));
    });
  }
  return found.map((each) => each.path);
}
