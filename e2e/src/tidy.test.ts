import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { leafKeys } from "@qmtl/sdk/config";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file !== "" && existsSync(`${root}${file}`));
const read = (file: string): string => readFileSync(`${root}${file}`, "utf8");
const sources = files.filter(
  (file) => file.endsWith(".ts") && !file.startsWith("gen/") && !/(^|\/)fixtures\//.test(file),
);
const product = sources.filter((file) => !/\.(test|contract)\.ts$/.test(file));

/** The code without comments, so that prose about clocks is no fault. */
const code = (file: string): string =>
  read(file)
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/(^|[^:])\/\/.*$/gm, "$1");

interface Endings {
  readonly classes: readonly string[];
  readonly types: readonly string[];
  readonly files: readonly string[];
}

/** Last words of names, in lower case: of classes; of types, if no class has it; of files, if no type has it. */
function endingsOf(texts: readonly (readonly [file: string, text: string])[]): Endings {
  const lastOf = (name: string): string =>
    (name.match(/[A-Z]+(?![a-z])|[A-Z][a-z0-9]*/g)?.at(-1) ?? name).toLowerCase();
  const namesIn = (pattern: RegExp): string[] =>
    texts.flatMap(([, text]) =>
      [...text.replace(/"[^"\n]*"|`[^`]*`/g, "").matchAll(pattern)].map(([, name = ""]) =>
        lastOf(name),
      ),
    );
  const classes = new Set(namesIn(/\bclass (\w+)/g));
  const types = new Set(
    namesIn(/\b(?:interface|type) ([A-Z]\w*)/g).filter((word) => !classes.has(word)),
  );
  const files = new Set(
    texts.map(
      ([file]) =>
        file
          .replace(/^.*\/|\.ts$/g, "")
          .split("-")
          .at(-1) ?? "",
    ),
  );
  const sorted = (words: Set<string>): string[] => [...words].sort();
  return {
    classes: sorted(classes),
    types: sorted(types),
    files: sorted(files).filter((word) => !classes.has(word) && !types.has(word)),
  };
}

describe("tidy", () => {
  test("no source file is longer than 500 lines and nine in ten are shorter than 300", () => {
    const lengths = product.map((file) => ({ file, lines: read(file).split("\n").length }));

    expect(lengths.filter((entry) => entry.lines > 500)).toEqual([]);
    const long = lengths.filter((entry) => entry.lines > 300);
    expect(long.length, JSON.stringify(long)).toBeLessThan(product.length / 10);
  });

  test("clocks and chance come only through a clock and a seeded generator", () => {
    const allowed =
      /(^|[-/])clock\.ts$|language-globals\.ts$|^(bench|\.ci|examples|cli)\/|^e2e\/|\/testing\//;
    const strays = product.filter(
      (file) =>
        !allowed.test(file) && /\b(Date\.now|Math\.random|performance\.now)\b/.test(code(file)),
    );

    expect(strays).toEqual([]);
  });

  test("no name in the code and no file has a word that the glossary has retired", () => {
    const retired = new Set(
      ["desk", "wish", "wishes", "teller", "seams", "door", "doors", "knock", "knocks"].concat([
        "owed",
        "restatement",
      ]),
    );
    const words = (name: string): string[] =>
      name
        .split(/[^A-Za-z]+|(?<=[a-z0-9])(?=[A-Z])/)
        .map((word) => word.toLowerCase())
        .filter((word) => retired.has(word));
    const faults = (file: string, text: string): string[] => [
      ...(words(file.slice(file.lastIndexOf("/") + 1)).length > 0 ? [file] : []),
      // The content of string literals is prose.
      ...[...text.replace(/"[^"\n]*"|`[^`]*`/g, "").matchAll(/[#\w]+/g)]
        .map(([name]) => name)
        .filter((name) => words(name).length > 0),
    ];

    const all = sources.filter((file) => !file.endsWith("/tidy.test.ts"));
    expect(all.flatMap((file) => faults(file, code(file)))).toEqual([]);
    // The rule finds what it is meant to find.
    expect(faults("src/feed-desk.ts", "export class FeedDesk {}")).toEqual([
      "src/feed-desk.ts",
      "FeedDesk",
    ]);
    expect(
      faults("src/router-gate.ts", 'function knockAt(door: string, text = "a door") {}'),
    ).toEqual(["knockAt", "door"]);
  });

  test("the last word of a class, a type and a file is one of the list, and the list has no other words", () => {
    const listed: Endings = JSON.parse(read(".ci/name-endings.json"));
    const shipped = product.filter(
      (file) =>
        !/(^|\/)(testing|templates)\/|\.child\.ts$|\.config\.ts$|^(e2e|bench|examples|\.ci)\//.test(
          file,
        ),
    );
    const found = endingsOf(shipped.map((file) => [file, code(file)]));

    // A new word needs a decision: the list may already have the field's word for it.
    expect(found).toEqual(listed);
    expect(
      endingsOf([["a/feed-steward.ts", "export class FeedSteward {}\ninterface A {}"]]),
    ).toEqual({
      classes: ["steward"],
      types: ["a"],
      files: [],
    });
  });

  test("every key of the configuration is read by the product, since one that is accepted acts", () => {
    const config = "sdk-ts/sdk/src/config/";
    const readers = product
      .filter((file) => /^(sdk-ts|services|cli)\//.test(file) && !file.startsWith(config))
      .map(code)
      .join("\n");
    const unread = (keys: readonly string[]): string[] =>
      keys.filter((key) => {
        const name = key.split(".").findLast((part) => part !== "*");
        return !new RegExp(`\\b${name}\\b`).test(readers);
      });

    expect(leafKeys().length).toBeGreaterThan(50);
    expect(unread(leafKeys())).toEqual([]);
    expect(unread(["cache.snapshot_dir", "test.history_start"])).toEqual(["cache.snapshot_dir"]);
  });

  test("no test is skipped, focused or left for later by hand", () => {
    const tests = sources.filter(
      (file) => file.endsWith(".test.ts") && !file.endsWith("tidy.test.ts"),
    );
    const odd = tests.filter((file) =>
      /\b(it|test|describe)\.(only|todo)\b|\b(it|test|describe)\.skip\(/.test(code(file)),
    );

    expect(odd).toEqual([]);
  });

  test("no source hides a type error or leaves a note to finish it", () => {
    const escapes = product.filter((file) =>
      /@ts-ignore|@ts-expect-error|\bas any\b|:\s*any\b|\bTODO\b|\bFIXME\b/.test(code(file)),
    );

    expect(escapes).toEqual([]);
  });

  test("there is no folder or file for things without a name of their own", () => {
    expect(
      files.filter(
        (file) =>
          /(^|\/)(utils?|helpers?|common|types)(\/|\.ts$)/.test(file) && !file.startsWith("proto/"),
      ),
    ).toEqual([]);
  });

  test("every top-level folder says what it is", () => {
    const folders = new Set(
      files.filter((file) => file.includes("/")).map((file) => file.split("/")[0]),
    );
    const silent = [...folders].filter(
      (folder) => folder && folder !== ".ci" && !files.includes(`${folder}/README.md`),
    );

    expect(silent).toEqual([]);
  });

  test("no machine path and no registry host stands in a committed file", () => {
    const paths = new RegExp(["/wo", "rk/|/ro", "ot/|registry.npm", "js.org"].join(""));
    const texts = files.filter(
      (file) => !/\.(binpb|png|parquet)$/.test(file) && !file.startsWith("proto/google"),
    );

    expect(texts.filter((file) => paths.test(read(file)))).toEqual([]);
  });
});
