import { execFileSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { metric, nodeNames, runOffline } from "../smoke/offline-run.ts";

const here = import.meta.dirname;
const repository = join(here, "../..");
let project: string;

/** Another project with the package installed in it, built as `npm pack` builds it. */
beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), "custom-nodes-"));
  const installed = join(project, "node_modules/@qmtl-examples/custom-nodes");
  mkdirSync(join(installed, "dist"), { recursive: true });
  cpSync(join(here, "package.json"), join(installed, "package.json"));
  for (const name of readdirSync(join(here, "src")).filter((one) => !one.endsWith(".test.ts"))) {
    const text = readFileSync(join(here, "src", name), "utf8");
    writeFileSync(join(installed, "dist", name.replace(/\.ts$/, ".js")), built(text));
  }
  symlinkSync(join(repository, "node_modules/@qmtl"), join(project, "node_modules/@qmtl"));
  const config = readFileSync(join(here, "qmtl.yml"), "utf8");
  writeFileSync(join(project, "qmtl.yml"), config.replace("../data", join(here, "../data")));
  writeFileSync(join(project, "package.json"), '{ "type": "module" }');
});
afterAll(() => rmSync(project, { recursive: true }));

function built(text: string): string {
  const { compilerOptions } = JSON.parse(readFileSync(join(here, "tsconfig.build.json"), "utf8"));
  const { options } = ts.convertCompilerOptionsFromJson(compilerOptions, here);
  return ts.transpileModule(text, { compilerOptions: { ...options, module: ts.ModuleKind.ESNext } })
    .outputText;
}

/** The example's strategy with the import of the README in place of the folder beside it. */
function strategyElsewhere(): string {
  const readme = readFileSync(join(here, "README.md"), "utf8");
  const line = /```ts\n(.*)\n```/.exec(readme)![1]!;
  const text = readFileSync(join(here, "strategy.ts"), "utf8");
  return text.replace('import { efficiencyRatio } from "./src/index.ts";', line);
}

describe("a strategy that uses the package", () => {
  test("beside it runs with its nodes and comes to the figures of its README", async () => {
    const result = await runOffline(here);

    expect(nodeNames(result)).toContain("efficiency60");
    expect(result.orders).toHaveLength(44);
    expect(metric(result, "sharpe")).toBeCloseTo(0.2705, 4);
    expect(metric(result, "max_drawdown_ratio")).toBeCloseTo(0.2306, 4);
  });

  test("in another project runs with the package as built, to the same nodes and figures", async () => {
    writeFileSync(join(project, "strategy.ts"), strategyElsewhere());
    const qmtl = join(repository, "node_modules/.bin/qmtl");
    const args = [qmtl, "run", "strategy.ts", "--offline", "--json"];

    const [line = ""] = execFileSync(process.execPath, args, { cwd: project, encoding: "utf8" })
      .split("\n")
      .filter((one) => one.startsWith("{"));

    const beside = await runOffline(here);
    expect(JSON.parse(line)).toMatchObject({
      nodes: beside.nodes.map(({ id }) => ({ id })), // the very same nodes
      orders: 44,
      metrics: { sharpe: metric(beside, "sharpe"), total_return: metric(beside, "total_return") },
    });
  }, 60_000);
});
