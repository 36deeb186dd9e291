import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configJsonSchema, derivedKeys, leafKeys, loadConfig } from "@qmtl/sdk/config";
import { afterAll, expect, test } from "vitest";
import { parse } from "yaml";
import { configTemplate } from "./config-template.ts";

const folder = mkdtempSync(join(tmpdir(), "qmtl-template-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const text = configTemplate(configJsonSchema());

function load(yaml: string) {
  writeFileSync(join(folder, "qmtl.yml"), yaml);
  return loadConfig({ cwd: folder, env: {} });
}

/** A key that is commented out because its default follows other keys. */
const followed = new RegExp(
  `^( *)# ((?:${derivedKeys.map((key) => key.split(".").at(-1)).join("|")}): )`,
  "gm",
);

/** A template with its examples taken in, but not those within examples. */
const opened = (template: string): string =>
  template
    .replace(/^( *[a-z_]+:) (?:\{\}|null)(?=\n *# {3})/gm, "$1")
    .replace(/^( *)# ( {2}.*)$/gm, "$1$2");

/** The template with its examples uncommented. */
const withExamples = opened(opened(text.replace(followed, "$1$2")));

/** Paths of all values, with the name of an entry as `*`. */
function paths(value: unknown, path: readonly string[] = []): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [path.join(".")];
  return Object.entries(value).flatMap(([key, inner]) =>
    paths(inner, [...path, key === "name" && path[0] !== "project" ? "*" : key]),
  );
}

test("the template as it stands gives the defaults", () => {
  const generated = load(text);
  rmSync(join(folder, "qmtl.yml"));

  expect(generated).toEqual(loadConfig({ cwd: folder, env: {} }));
});

test("keys that follow others stand in comments, so that a file of all keys does not hold them", () => {
  expect(load(`${text}\n`.replace("port: 7400", "port: 7500")).sdk.gateway_url).toBe(
    "http://127.0.0.1:7500",
  );
  const inTests = load(text.replace("test_mode: false", "test_mode: true"));
  expect(inTests.sdk.request_timeout_ms).toBe(1_500);
});

test("the minimal profile is short, gives the defaults, and holds with its examples taken in", () => {
  const minimal = configTemplate(configJsonSchema(), "minimal");
  const generated = load(minimal);
  rmSync(join(folder, "qmtl.yml"));

  expect(generated).toEqual(loadConfig({ cwd: folder, env: {} }));
  expect(minimal.split("\n").length).toBeLessThan(70);
  const filled = minimal
    .replace(/^( *[a-z_]+:) \{\}(?=\n *# {3})/gm, "$1")
    .replace(/^( *)# ( {2}.*)$/gm, "$1$2");
  expect(load(filled)).toMatchObject({
    sources: { name: { interval: "1d" } },
    instruments: { name: { mark_source: "name" } },
  });
});

test("with its examples taken in it holds, and has every key there is", () => {
  const config = load(withExamples);

  expect(config.instruments).toMatchObject({ name: { mark_source: "name", tick: "0.01" } });
  const found = new Set(paths(parse(withExamples)).map((path) => path.replace(/\.env$/, "")));
  expect(leafKeys().filter((key) => !found.has(key))).toEqual([]);
});

test("every key has a sentence above it", () => {
  const lines = text.split("\n");
  const silent = lines.filter((line, index) => {
    const key = /^(?:#? *)[a-z_]+:/.test(line) && !/^[# ]*name:$/.test(line);
    return key && !/^[# ]*# .*\.$/.test(lines[index - 1] ?? "");
  });

  expect(silent).toEqual([]);
});
