import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (file: string): string => readFileSync(`${root}${file}`, "utf8");
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file !== "" && existsSync(`${root}${file}`));

const glossary = "docs/glossary.md";

/** Terms of a glossary by section, in order, without the words we do not use. */
function termsOf(text: string): string[][] {
  const sections = text.split(/^## /m).slice(1);
  return sections
    .filter((section) => !section.startsWith("Words we do not use"))
    .map((section) =>
      [...section.matchAll(/^\| ([^|]+?) \|/gm)]
        .map(([, term = ""]) => term)
        .filter((term) => term !== "term"),
    );
}

/** Lower-case words separated by one blank, split from prose and from identifiers of code and contracts alike. */
const wordsOf = (text: string): string =>
  ` ${text
    .replace(/(?<=[a-z0-9])(?=[A-Z])/g, " ")
    .replace(/[^A-Za-z0-9]+/g, " ")
    .toLowerCase()} `;

function unusedTerms(terms: readonly string[], text: string): string[] {
  const words = wordsOf(text);
  // One entry may explain two terms; words in brackets say which sense is meant.
  return terms
    .flatMap((term) => term.replace(/ \([^)]*\)/g, "").split(", "))
    .filter((term) => !words.includes(wordsOf(term).trimEnd()));
}

test("every term of the glossary is used in a contract, the code or another page", () => {
  const isText = (file: string): boolean =>
    /\.(ts|proto|md)$/.test(file) && !/^gen\/|\.test\.ts$/.test(file) && file !== glossary;
  const everything = files.filter(isText).map(read).join("\n");
  const terms = termsOf(read(glossary)).flat();

  expect(terms.length).toBeGreaterThan(100);
  expect(unusedTerms(terms, everything)).toEqual([]);
});

test("a term that nobody uses is found, whatever form the used ones have", () => {
  const text = "| term | means |\n|---|---|\n| node lease | … |\n| as-of | … |\n| flux | … |\n";
  const terms = termsOf(`# G\n## A\n${text}## Words we do not use\n| door | gate |\n`).flat();

  expect(unusedTerms(terms, "class NodeLeases {}\nstring as_of = 1;")).toEqual(["flux"]);
});

test("terms stand once, and in the order of the alphabet within their section", () => {
  const sections = termsOf(read(glossary)).map((terms) => terms.map((term) => term.toLowerCase()));
  const all = sections.flat();

  expect(all.filter((term, at) => all.indexOf(term) !== at)).toEqual([]);
  expect(sections).toEqual(sections.map((terms) => terms.toSorted()));
});
