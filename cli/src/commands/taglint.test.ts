import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runInProcess } from "./testing/run-in-process.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "taglint-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const GOOD = `export const TAGS = { scope: "a", family: "b", interval: "1m", asset: "c" };\n`;

function write(name: string, text: string | Uint8Array): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

test("clean files end with 0, findings with 1 and their place", async () => {
  const good = write("good.ts", GOOD);
  const bad = write("bad.ts", `// 😀\nexport const TAGS = {}; export const X = 1;\n`);

  expect(await runInProcess("taglint", good, good)).toMatchObject({
    exitCode: 0,
    out: ["files 1, findings left 0, fixed 0, not read 0"],
  });
  const { exitCode, out } = await runInProcess("taglint", good, bad);
  expect(exitCode).toBe(1);
  expect(out[0]).toBe(`${bad}:2:21  key-missing  scope, family, interval, asset are missing`);
});

test("files that cannot be read or parsed end with 2, the others are checked all the same", async () => {
  const bad = write("bad.ts", GOOD.replace("1m", "60s"));
  const broken = write("broken.ts", "\nlet a = ;");
  const latin = write("latin.ts", Uint8Array.of(0x2f, 0x2f, 0xe9));
  const other = write("notes.md", "");
  const files = [broken, join(folder, "none.ts"), folder, latin, other, bad];

  const { exitCode, out, err } = await runInProcess("taglint", "--json", ...files);

  expect(exitCode).toBe(2);
  expect(out.map((line) => JSON.parse(line))).toEqual([
    {
      file: bad,
      line: 1,
      column: 58,
      rule: "interval-canonical",
      message: `write "60s" as "1m"`,
      fixed: false,
    },
    { files: 6, findings: 1, fixed: 0, unreadable: 5 },
  ]);
  const told = err.map((line) => JSON.parse(line));
  expect(told.map(({ file }) => file)).toEqual(files.slice(0, 5));
  expect(told[0]).toMatchObject({ line: 2, column: 9, error: "Unexpected token" });
});

test("--fix mends, tells what it did, and ends with 1 while a key it added is empty", async () => {
  const file = write("a.ts", `export const TAGS = { scope: "A", family: "b", interval: 60 };\n`);

  const first = await runInProcess("taglint", "--fix", file);
  const mended = readFileSync(file, "utf8");
  const second = await runInProcess("taglint", "--fix", file);

  expect(first.exitCode).toBe(1);
  expect(first.out.filter((line) => line.endsWith("(fixed)"))).toHaveLength(3);
  expect(mended).toBe(
    `export const TAGS = { scope: "a", family: "b", interval: "1m", asset: "" };\n`,
  );
  expect(second).toMatchObject({ exitCode: 1 });
  expect(second.out[0]).toContain("value-empty  asset is empty");
  expect(readFileSync(file, "utf8")).toBe(mended);

  writeFileSync(file, mended.replace(`asset: ""`, `asset: "btc"`));
  expect((await runInProcess("taglint", file)).exitCode).toBe(0);
});

test("a module is not run", async () => {
  const file = write("a.ts", `${GOOD}throw new Error("it ran");\nimport "./none.ts";\n`);

  expect((await runInProcess("taglint", file)).exitCode).toBe(0);
});
