import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { initProject } from "./init-project.ts";
import type { ProjectCheck } from "./project-check.ts";
import { validateProject } from "./validate-project.ts";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "validate-project-"));
  path = join(folder, "mine");
  symlinkSync(
    fileURLToPath(new URL("../../../node_modules", import.meta.url)),
    join(folder, "node_modules"),
  );
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function change(file: string, from: string | RegExp, to: string): void {
  const text = readFileSync(join(path, file), "utf8");
  writeFileSync(join(path, file), text.replace(from, to));
}

async function problems(): Promise<ProjectCheck[]> {
  return (await validateProject(path)).filter((check) => check.status !== "ok");
}

test("a fresh project lacks its data only, and is told how to make them", async () => {
  await initProject({ path });

  expect(await problems()).toEqual([
    expect.objectContaining({
      check: "data",
      status: "warning",
      fix: expect.stringContaining("npm run data"),
    }),
  ]);
});

test("without packages it says to install them", async () => {
  await initProject({ path, withSampleData: true });
  rmSync(join(folder, "node_modules"));

  expect(await problems()).toContainEqual({
    check: "packages",
    status: "warning",
    message: "@qmtl/sdk is not installed",
    fix: "npm install",
  });
});

test("a fault in the configuration is told with its place, and the nearest name", async () => {
  await initProject({ path, withSampleData: true });
  change("qmtl.yml", "    interval: 1d", "    intervall: 1d");

  expect(await problems()).toContainEqual({
    check: "config",
    status: "error",
    message: expect.stringMatching(/^qmtl\.yml:9:5: sources\.bars\.intervall: unknown key/),
    fix: "did you mean interval?",
  });
});

test("what the strategy names must stand in the configuration", async () => {
  await initProject({ path, withSampleData: true });
  change("qmtl.yml", "  DEMO: {tick", "  OTHER: {tick");
  change("qmtl.yml", "instruments: [DEMO]", "instruments: [OTHER]");
  change("strategy.ts", 'source: "bars"', 'source: "nosuch"');

  expect((await problems()).map((check) => check.message)).toEqual([
    'stream bars reads "nosuch"',
    expect.stringMatching(/^target.* trades "DEMO"$/),
  ]);
});

test("a strategy that cannot be loaded, or has no target, is an error", async () => {
  await initProject({ path, withSampleData: true });
  writeFileSync(join(path, "strategy.ts"), "throw new Error('half done');\n");
  expect(await problems()).toEqual([
    expect.objectContaining({
      check: "strategy",
      status: "error",
      message: expect.stringContaining("half done"),
    }),
  ]);

  rmSync(path, { recursive: true });
  path = join(folder, "other"); // a process imports a file only once
  await initProject({ path, preset: "minimal", withSampleData: true });
  change("strategy.ts", "[price, target]", "[price]");
  expect(await problems()).toEqual([
    expect.objectContaining({ message: expect.stringContaining("declares 0 target positions") }),
  ]);
});

test("a layer without what it requires is an error that names the command", async () => {
  await initProject({ path, preset: "production", withSampleData: true });
  change("strategy.ts", /[\s\S]*/, 'export { Other } from "./other.ts";\n');
  rmSync(join(path, "layers", "signal"), { recursive: true });

  expect(await problems()).toContainEqual({
    check: "layers",
    status: "error",
    message: "layer execution requires signal, which is missing",
    fix: "qmtl project add-layer signal",
  });
});

test("files that are missing are named, each with what to do", async () => {
  await initProject({ path, withSampleData: true });
  for (const file of ["strategy.ts", "qmtl.yml", "tsconfig.json", "tests", "package.json"])
    rmSync(join(path, file), { recursive: true });
  await expect(validateProject(path)).rejects.toMatchObject({ reason: "NOT_A_PROJECT" });

  writeFileSync(join(path, "package.json"), "{");
  const found = await problems();

  expect(found.map((check) => [check.status, check.message])).toEqual([
    ["error", "strategy.ts is missing"],
    ["error", "qmtl.yml is missing"],
    ["warning", "tsconfig.json is missing"],
    ["warning", "tests/ holds no *.test.ts"],
    ["error", "package.json cannot be read"],
  ]);
  expect(found.every((check) => check.fix !== undefined)).toBe(true);
});
