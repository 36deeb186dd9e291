import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadConfig, loadStrategy, Runner } from "@qmtl/sdk";
import { identifyStrategy } from "@qmtl/sdk/platform";
import { transformSync } from "esbuild";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runBacktests } from "./backtests.ts";
import { storyNames } from "./expected-figures.ts";
import { prepareData } from "./prepare-data.ts";

const folder = fileURLToPath(new URL("../strategies", import.meta.url));
const config = loadConfig({ path: fileURLToPath(new URL("../qmtl.yml", import.meta.url)) });
let root: string;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "demo-strategies-"));
  await prepareData();
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Ids by node name, of the strategies as a Node process of its own loads them. */
function idsInNode(files: string, extension: string): Record<string, Record<string, string>> {
  const program = `
    const { loadStrategy } = await import("@qmtl/sdk");
    const { identifyStrategy } = await import("@qmtl/sdk/platform");
    const all = {};
    for (const name of ${JSON.stringify(storyNames)}) {
      const strategy = await loadStrategy(${JSON.stringify(files)} + "/" + name + ".${extension}");
      const { graph } = identifyStrategy(strategy, { worldId: "w" });
      all[name] = Object.fromEntries(graph.nodes.map((node) => [node.declared.name, node.id]));
    }
    process.stdout.write(JSON.stringify(all));`;
  const args = ["--no-warnings", "--input-type=module", "-e", program];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8", cwd: folder }));
}

function build(form: string, compile: (text: string) => string): string {
  const built = join(root, form);
  mkdirSync(built);
  for (const name of [...storyNames, "shared-nodes"]) {
    const text = compile(readFileSync(join(folder, `${name}.ts`), "utf8"));
    writeFileSync(join(built, `${name}.js`), text.replace(/(from "\.[^"]*)\.ts"/g, '$1.js"'));
  }
  writeFileSync(join(built, "package.json"), '{ "type": "module" }');
  symlinkSync(
    fileURLToPath(new URL("../../../node_modules", import.meta.url)),
    join(built, "node_modules"),
  );
  return built;
}

describe("the demo's strategies", () => {
  test("declare 7 nodes each, 21 in all, of which 13 are distinct", async () => {
    const seen = new Set<string>();
    const fresh: number[] = [];
    let declared = 0;
    for (const name of storyNames) {
      const strategy = await loadStrategy(join(folder, `${name}.ts`));
      const ids = identifyStrategy(strategy, { worldId: "w" }).graph.nodes.map((node) => node.id);
      declared += ids.length;
      fresh.push(ids.filter((id) => !seen.has(id)).length);
      for (const id of ids) seen.add(id);
    }

    expect(declared).toBe(21);
    expect(fresh).toEqual([7, 3, 3]);
    expect(seen.size).toBe(13);
  });

  test("have the same ids from type stripping, tsc and esbuild, and share the ids of equal nodes", () => {
    const stripped = idsInNode(folder, "ts");
    const tsc = build(
      "tsc",
      (text) =>
        ts.transpileModule(text, {
          compilerOptions: {
            target: ts.ScriptTarget.ES2023,
            module: ts.ModuleKind.ESNext,
            verbatimModuleSyntax: true,
            removeComments: true,
          },
        }).outputText,
    );
    const esbuild = build("esbuild", (text) => transformSync(text, { loader: "ts" }).code);

    expect(idsInNode(tsc, "js")).toEqual(stripped);
    expect(idsInNode(esbuild, "js")).toEqual(stripped);
    for (const name of ["bars", "close", "ret1", "vol20"]) {
      expect(new Set(storyNames.map((story) => stripped[story]![name])).size, name).toBe(1);
    }
  });

  test("have the same ids inside a test runner", async () => {
    const stripped = idsInNode(folder, "ts");
    for (const name of storyNames) {
      const { graph } = identifyStrategy(await loadStrategy(join(folder, `${name}.ts`)), {
        worldId: "elsewhere",
      });
      const ids = Object.fromEntries(graph.nodes.map((node) => [node.declared.name, node.id]));
      expect(ids).toEqual(stripped[name]);
    }
  });
});

describe("step 1 of the demo", () => {
  test("comes to every figure of the story and draws no bar into a pipe", async () => {
    let text = "";
    const { problems, results } = await runBacktests({ write: (more: string) => (text += more) });

    expect(problems).toEqual([]);
    expect([...results.values()].map((result) => result.returns.samples)).toEqual([
      3772, 3772, 3772,
    ]);
    expect(text).not.toContain("\r");
    expect(text).toContain("1759 of 3772 bars");
    expect(text).toContain("no dividends");
    expect(text).toContain("not traded");
    expect(text).not.toContain("765");
  });

  test("the paper window, replayed offline, unmasks the cheat", async () => {
    const sharpes: number[] = [];
    const fills: number[] = [];
    for (const name of storyNames) {
      const strategy = await loadStrategy(join(folder, `${name}.ts`));
      const window = { from: "2015-02-03", until: "2016-12-30" };
      const result = await Runner.offline(strategy, { config, ...window });
      sharpes.push(result.metrics.get("sharpe")!);
      fills.push(result.fills.length);
      expect(result.returns.samples).toBe(482);
      expect(result.warmupRows).toBe(3794);
    }

    for (const [k, told] of [0.0129, 0.7562, -1.4288].entries()) {
      expect(Math.abs(sharpes[k]! - told)).toBeLessThan(1.5e-4);
    }
    expect(fills).toEqual([7, 88, 467]);
  });

  test("the two files agree but for the column that is a row early", () => {
    const data = fileURLToPath(new URL("../.qmtl/sp500", import.meta.url));
    const rows = (name: string) =>
      readFileSync(join(data, name), "utf8").trim().split("\n").slice(1);
    const history = rows("history.csv").map((row) => row.split(","));
    const feed = rows("feed.csv").map((row) => row.split(","));

    expect(history.at(-1)![0]).toBe("2014-12-31");
    expect([feed.length, feed.at(-1)![0]]).toEqual([4277, "2016-12-30"]);
    for (const [k, row] of history.entries()) {
      expect(row.slice(0, 5)).toEqual(feed[k]!.slice(0, 5));
      expect(row[5]).toBe(feed[k + 1]![5]);
    }
  });
});
