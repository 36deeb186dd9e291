import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { parse } from "yaml";

const files = [
  "qmtl.yml",
  "templates/local_stack.example.yml",
  "templates/backend_stack.example.yml",
];

/** The feed's entry in a configuration that a new project contains. */
function feedOf(file: string): unknown {
  const path = fileURLToPath(new URL(`../../templates/base/${file}`, import.meta.url));
  const { bars } = parse(readFileSync(path, "utf8")).sources;
  return { ...bars, file: basename(bars.file) };
}

test("the feed of every configuration a project comes with waits at its start, and is the same in all", () => {
  const [first, ...others] = files.map(feedOf);

  expect(first).toMatchObject({ until: "start" });
  for (const other of others) expect(other).toEqual(first);
});
