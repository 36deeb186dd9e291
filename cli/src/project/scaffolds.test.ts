import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadConfig } from "@qmtl/sdk/config";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { main } from "../main.ts";
import { initProject, type ProjectChoice } from "./init-project.ts";
import { presets } from "./presets.ts";
import { strategyTemplates } from "./strategy-templates.ts";
import { validateProject } from "./validate-project.ts";

const repository = fileURLToPath(new URL("../../../", import.meta.url));
const scaffolds: readonly (readonly [string, ProjectChoice])[] = [
  ...strategyTemplates.map(({ name }) => [name, { strategy: name }] as const),
  ...presets.map(({ name }) => [`preset-${name}`, { preset: name }] as const),
  ["layers-data", { layers: ["data"] }],
  ["layers-monitoring", { layers: ["monitoring", "execution"] }],
];
const metrics =
  /^\w+: 784 returns, [1-9]\d* orders?\n[\s\S]*^ {2}sharpe +-?\d[\s\S]*^ {2}max_drawdown_ratio +\d/m;
let folder: string;

/** Runs a program of the repository without the environment of the test runner; gives its output. */
function run(program: string, args: readonly string[], cwd: string): string {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_OPTIONS|TEST$)/.test(name)),
  );
  const options = { cwd, env, encoding: "utf8", stdio: "pipe" } as const;
  return execFileSync(process.execPath, [join(repository, program), ...args], options);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "scaffolds-"));
  symlinkSync(join(repository, "node_modules"), join(folder, "node_modules"));
  for (const [name, choice] of scaffolds)
    await initProject({ path: join(folder, name), withSampleData: true, ...choice });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.for(scaffolds)("a project of %s", ([name]) => {
  test("runs offline at once and prints metrics", async () => {
    const printed = vi.spyOn(console, "log").mockImplementation(() => {});
    const at = (file: string): string => join(folder, name, file);

    await main(["", "", "run", at("strategy.ts"), "--offline", "--config", at("qmtl.yml")]);

    const out = printed.mock.calls.map(([line]) => String(line)).join("\n");
    printed.mockRestore();
    expect(out).toMatch(metrics);
  });

  test("has all that belongs to a project, and is found good", async () => {
    for (const path of [
      ".gitignore",
      "README.md",
      "package.json",
      "tsconfig.json",
      "data/bars.csv",
      "generators/README.md",
      "indicators/README.md",
      "transforms/README.md",
      "templates/local_stack.example.yml",
      "templates/backend_stack.example.yml",
      "templates/policy.example.yml",
    ])
      expect(existsSync(join(folder, name, path)), path).toBe(true);

    const checks = await validateProject(join(folder, name));

    expect(checks.filter((check) => check.status !== "ok")).toEqual([]);
  });

  test("both stacks are configurations the platform takes", () => {
    for (const stack of ["local_stack", "backend_stack"]) {
      const path = join(folder, name, "templates", `${stack}.example.yml`);
      const config = loadConfig({ path, env: {} });

      expect(config.sources.bars?.file).toBe(join(folder, name, "data", "bars.csv"));
    }
  });
});

test("the program itself runs a project from its folder, with nothing named but the strategy", () => {
  const args = ["run", "strategy.ts", "--offline"];

  expect(run("cli/bin/qmtl.js", args, join(folder, "general"))).toMatch(metrics);
});

test("every project type-checks by its own settings", { timeout: 120_000 }, () => {
  for (const [name] of scaffolds)
    expect(readFileSync(join(folder, name, "tsconfig.json"), "utf8")).toBe(
      readFileSync(join(folder, "general", "tsconfig.json"), "utf8"),
    );
  // One compilation for all: they share the SDK, which takes nearly all of the time.
  const settings = {
    extends: "./general/tsconfig.json",
    include: scaffolds.map(([name]) => `${name}/**/*.ts`),
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(settings));

  expect(run("node_modules/typescript/bin/tsc", ["-p", folder], folder)).toBe("");
});

test("the tests of every project pass", { timeout: 120_000 }, () => {
  const settings = {
    // One process that loads the SDK once.
    test: { isolate: false, fileParallelism: false, testTimeout: 30_000 },
  };
  const config = join(folder, "vitest.config.mjs");
  writeFileSync(config, `export default ${JSON.stringify(settings)};\n`);

  const file = join(folder, "report.json");

  run("node_modules/vitest/vitest.mjs", ["run", "--reporter=json", `--outputFile=${file}`], folder);
  const report = JSON.parse(readFileSync(file, "utf8")) as {
    success: boolean;
    testResults: { name: string }[];
  };

  expect(report.success).toBe(true);
  for (const [name] of scaffolds) {
    const own = report.testResults.filter((file) => file.name.includes(`/${name}/tests/`));
    expect(own.length, name).toBeGreaterThanOrEqual(4);
  }
});
