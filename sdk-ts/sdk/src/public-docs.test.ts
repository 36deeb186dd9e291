import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Strategy, type StrategyClass } from "@qmtl/sdk";
import { identifyStrategy } from "@qmtl/sdk/platform";
import { barsProject, randomWalkBars, withColumn } from "@qmtl/sdk/testing";
import ts from "typescript";
import { afterAll, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const entries = [
  "sdk-ts/sdk/src/index.ts",
  "sdk-ts/sdk/src/platform.ts",
  "sdk-ts/sdk/src/testing/index.ts",
].map((path) => join(root, path));

/** The `ts` blocks of a page, each as a file with the name in its first line, if there is one. */
function blocksOf(page: string): { file: string; text: string }[] {
  const found = page.matchAll(/^```ts\n([\s\S]*?)^```$/gm);
  return [...found].map(([, text = ""], k) => {
    const name = /^\/\/ ([a-z-]+\.ts)\n/.exec(text)?.[1];
    return { file: name ?? `block-${k + 1}.ts`, text };
  });
}

// The blocks are written as files of a project that uses the packages of this repository.
const blocks = blocksOf(readFileSync(join(root, "docs/sdk.md"), "utf8"));
const folder = mkdtempSync(join(tmpdir(), "sdk-docs-"));
afterAll(() => rmSync(folder, { recursive: true }));
symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
for (const { file, text } of blocks) writeFileSync(join(folder, file), text);

const modules = new Map<string, Readonly<Record<string, unknown>>>();
describe("the blocks of docs/sdk.md", async () => {
  // Tests in a block are registered here, as tests of this file.
  for (const { file } of blocks) modules.set(file, await import(join(folder, file)));
});

const { options } = ts.convertCompilerOptionsFromJson(
  ts.readConfigFile(join(root, "tsconfig.base.json"), ts.sys.readFile).config.compilerOptions,
  root,
);
const host = ts.createCompilerHost(options);
host.getCurrentDirectory = () => root;
const program = ts.createProgram({
  rootNames: [...entries, ...blocks.map(({ file }) => join(folder, file))],
  options: { ...options, noEmit: true },
  host,
});
const checker = program.getTypeChecker();

test("the page has blocks, and each type-checks", () => {
  expect(blocks.map(({ file }) => file)).toEqual(
    expect.arrayContaining(["strategy.ts", "intent-first.ts", "run.ts"]),
  );
  const problems = blocks.flatMap(({ file }) => {
    const source = program.getSourceFile(join(folder, file));
    return program.getSemanticDiagnostics(source).map(({ messageText, start = 0 }) => {
      const line = source!.getLineAndCharacterOfPosition(start).line + 1;
      return `${file}:${line}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`;
    });
  });

  expect(problems).toEqual([]);
});

test("the strategies of the page have ids, the same in every world", () => {
  const strategies = [...modules.values()].flatMap((module) =>
    Object.values(module).filter(
      (value): value is StrategyClass =>
        typeof value === "function" && value.prototype instanceof Strategy,
    ),
  );

  expect(strategies.map(({ name }) => name)).toEqual([
    "Distance",
    "Trailing",
    "IntentFirstStrategy",
    "VolatilityTarget",
    "SixtyForty",
  ]);
  for (const strategy of strategies) {
    const ids = ["a", "b"].map((worldId) =>
      identifyStrategy(strategy, { worldId }).graph.nodes.map(({ id }) => id),
    );
    expect(ids[0]).toEqual(ids[1]);
  }
});

test("the backtest of the page runs on the file of its first strategy", async () => {
  const { backtest } = modules.get("run.ts") as {
    backtest: (...args: unknown[]) => Promise<number>;
  };
  const prices = withColumn(
    randomWalkBars({ count: 300, seed: 7, volatility: 0.02 }),
    "x",
    () => 0,
  );
  await using project = await barsProject({ prices }, { instruments: { DEMO: {} } });

  expect(await backtest(join(folder, "strategy.ts"), { config: project.config })).not.toBeNaN();
});

/** Exported symbols of all entries, with aliases followed. */
function exportedSymbols(): { name: string; symbol: ts.Symbol }[] {
  return entries.flatMap((server) => {
    const module = checker.getSymbolAtLocation(program.getSourceFile(server)!)!;
    return checker.getExportsOfModule(module).map((symbol) => {
      const isAlias = (symbol.flags & ts.SymbolFlags.Alias) !== 0;
      return { name: symbol.name, symbol: isAlias ? checker.getAliasedSymbol(symbol) : symbol };
    });
  });
}

const isDocumented = (symbol: ts.Symbol): boolean =>
  symbol.getDocumentationComment(checker).length > 0 || symbol.getJsDocTags(checker).length > 0;

const placeOf = (name: string, symbol: ts.Symbol): string =>
  `${name} (${relative(root, symbol.declarations?.[0]?.getSourceFile().fileName ?? "")})`;

describe("every public export has a docstring", () => {
  test("itself", () => {
    const bare = exportedSymbols().filter(({ symbol }) => !isDocumented(symbol));

    expect(bare.map(({ name, symbol }) => placeOf(name, symbol))).toEqual([]);
    expect(exportedSymbols().length).toBeGreaterThan(100);
  });

  test("and every member of what is given to a call, an author's callback, or back to the caller", () => {
    const told =
      /Options$|^TargetSignal$|^StrategyFill$|^OfflineResult$|^RunStatus$|^OnlineEvent$|^WorldPlan|^Bars|^Fake|^ManualClock$|^Strategy$|^Runner$|Node$|^StreamInput$/;
    const bare = exportedSymbols().flatMap(({ name, symbol }) => {
      const hasMembers = symbol.flags & (ts.SymbolFlags.Interface | ts.SymbolFlags.Class);
      if (!told.test(name) || hasMembers === 0) return [];
      return checker
        .getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol))
        .filter((member) => isOurs(member) && !isDocumented(member))
        .map((member) => placeOf(`${name}.${member.name}`, member));
    });

    expect(bare).toEqual([]);
  });
});

/** True for a member that is neither private nor from a library. */
function isOurs(member: ts.Symbol): boolean {
  const [declaration] = member.declarations ?? [];
  if (declaration === undefined || member.name.startsWith("__")) return false;
  const isHidden =
    ts.isPropertyDeclaration(declaration) || ts.isMethodDeclaration(declaration)
      ? ts.isPrivateIdentifier(declaration.name)
      : false;
  return !isHidden && !declaration.getSourceFile().fileName.includes("node_modules");
}
