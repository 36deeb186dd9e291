import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { identifyStrategy } from "./identify-strategy.ts";
import { loadStrategy } from "./load-strategy.ts";

const sdk = JSON.stringify(fileURLToPath(new URL("../../strategy/index.ts", import.meta.url)));
const start = `import { Strategy } from ${sdk};\n`;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "load-strategy-"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

test("gives the one strategy a file exports, whatever else it exports", async () => {
  const path = file(
    "one.ts",
    `${start}export const window = 3;\nexport class One extends Strategy { setup() {} }\nexport { One as Same };`,
  );

  expect((await loadStrategy(path)).name).toBe("One");
});

test("a file that throws is refused with its own words as cause", async () => {
  const path = file("throws.ts", 'throw new Error("no such market");');

  const error = await loadStrategy(path).catch((reason: unknown) => reason);

  expect(error).toMatchObject({ reason: "STRATEGY_IMPORT_FAILED" });
  expect(String(error)).toContain("no such market");
  expect(String(error)).toContain(path);
});

test("a file that is not there is refused", async () => {
  await expect(loadStrategy(join(folder, "nowhere.ts"))).rejects.toMatchObject({
    reason: "STRATEGY_IMPORT_FAILED",
  });
});

test("a file without a strategy is refused and told what to write", async () => {
  const path = file("none.ts", "export class NotOne {}\nexport const three = 3;");

  const error = await loadStrategy(path).catch((reason: unknown) => reason);

  expect(error).toMatchObject({ reason: "STRATEGY_NOT_EXPORTED" });
  expect(String(error)).toContain("extends Strategy");
});

test("of several strategies one must be named, and the names are told", async () => {
  const path = file(
    "several.ts",
    `${start}export class Fast extends Strategy { setup() {} }\nexport class Slow extends Strategy { setup() {} }`,
  );

  const error = await loadStrategy(path).catch((reason: unknown) => reason);

  expect(error).toMatchObject({ reason: "STRATEGY_AMBIGUOUS" });
  expect(String(error)).toContain("Fast, Slow; say which with --export NAME");
  expect((await loadStrategy(path, "Slow")).name).toBe("Slow");
  await expect(loadStrategy(path, "Medium")).rejects.toMatchObject({
    reason: "STRATEGY_NOT_EXPORTED",
    message: expect.stringContaining("Fast, Slow"),
  });
});

test("an abstract base beside the strategy is no second strategy; alone it is refused by name", async () => {
  const base = "export abstract class Base extends Strategy {}\n";
  const both = file("base.ts", `${start}${base}export class Real extends Base { setup() {} }`);
  const alone = file("abstract.ts", `${start}${base}`);

  expect((await loadStrategy(both)).name).toBe("Real");
  for (const name of [undefined, "Base"]) {
    await expect(loadStrategy(alone, name)).rejects.toMatchObject({
      reason: "STRATEGY_NOT_EXPORTED",
      message: expect.stringContaining('"Base" is abstract: give it a setup()'),
    });
  }
});

test("an exported instance is refused: the class is wanted", async () => {
  const path = file(
    "made.ts",
    `${start}class One extends Strategy { setup() {} }\nexport const one = new One();`,
  );

  await expect(loadStrategy(path)).rejects.toMatchObject({
    reason: "STRATEGY_NOT_EXPORTED",
    message: expect.stringContaining('"one" is an instance of One; export the class'),
  });
});

test("a default export is taken, alone or by its name", async () => {
  const path = file(
    "default.ts",
    `${start}export default class Main extends Strategy { setup() {} }\nexport class Other extends Strategy { setup() {} }`,
  );
  const alone = file(
    "default-alone.ts",
    `${start}export default class extends Strategy { setup() {} }`,
  );

  expect((await loadStrategy(path, "default")).name).toBe("Main");
  expect(await loadStrategy(alone)).toBeTypeOf("function");
  await expect(loadStrategy(path)).rejects.toMatchObject({
    reason: "STRATEGY_AMBIGUOUS",
    message: expect.stringContaining("default"),
  });
});

test("a strategy of another copy of the SDK is refused with both copies and what to do", async () => {
  const other = join(folder, "apart/node_modules/@qmtl/sdk");
  mkdirSync(other, { recursive: true });
  const manifest = { name: "@qmtl/sdk", version: "0.0.7", type: "module", exports: "./index.js" };
  writeFileSync(join(other, "package.json"), JSON.stringify(manifest));
  writeFileSync(join(other, "index.js"), "export class Strategy { static declare() {} }");
  const path = join(folder, "apart/copy.ts");
  writeFileSync(
    path,
    'import { Strategy } from "@qmtl/sdk";\nexport class Mine extends Strategy { setup() {} }',
  );
  const refused = {
    reason: "DEPENDENCY_CONFLICT",
    message: expect.stringMatching(
      /^two copies of @qmtl\/sdk: \S+ \(0\.1\.0\) runs this, \S+copy\.ts imports \S+ \(0\.0\.7\); .*npm dedupe/,
    ),
  };

  await expect(loadStrategy(path)).rejects.toMatchObject(refused);
  const { Mine } = await import(path);
  expect(() => identifyStrategy(Mine, { worldId: "w", module: path })).toThrow("two copies");
  expect(() => identifyStrategy(new Mine(), { worldId: "w", module: path })).toThrow("two copies");
});

test("a class of the author's own that is called Strategy is no copy of the SDK", async () => {
  const path = file(
    "own.ts",
    "abstract class Strategy {}\nexport class Mine extends Strategy { setup() {} }",
  );

  await expect(loadStrategy(path)).rejects.toMatchObject({ reason: "STRATEGY_NOT_EXPORTED" });
});

test("a folder is refused as such", async () => {
  await expect(loadStrategy(folder)).rejects.toMatchObject({
    reason: "STRATEGY_IMPORT_FAILED",
    message: expect.stringContaining("is not a file"),
  });
});

test("as Node runs it, a file that fails says where: syntax, a throw, a missing import, TypeScript that is no erasable one", () => {
  const bad: [name: string, text: string, said: string, line: string][] = [
    ["syntax.ts", "export const a = 1;\nexport class {", "", "syntax.ts:2"],
    [
      "throwing.ts",
      '\n\nthrow new RangeError("window must be above 0");',
      "RangeError: window must be above 0",
      "throwing.ts:3",
    ],
    ["text.ts", 'throw "just a text";', "just a text", "text.ts"],
    ["import.ts", 'import "../nowhere.ts";', "nowhere.ts", "import.ts"],
    ["enum.ts", "export enum Side { long, short }", "use no enum", "enum.ts"],
    ["script.cjs", `require("./waits.mjs");`, "a strategy is an ES module", "script.cjs"],
    ["old/script.ts", start, '"type": "module" in package.json', "script.ts:1"],
  ];
  const loader = fileURLToPath(new URL("./load-strategy.ts", import.meta.url));
  const script = file(
    "run-all.mjs",
    `import { loadStrategy } from ${JSON.stringify(loader)};
     for (const name of process.argv.slice(2)) {
       const error = await loadStrategy(name).catch((reason) => reason);
       console.log(JSON.stringify({ reason: error.reason, message: error.message }));
     }`,
  );
  file("waits.mjs", "await Promise.resolve();");
  mkdirSync(join(folder, "old"));
  file("old/package.json", '{ "type": "commonjs" }');
  const files = bad.map(([name, text]) => file(name, text));

  const run = spawnSync(process.execPath, [script, ...files], {
    encoding: "utf8",
    env: { ...process.env, NODE_NO_WARNINGS: "1" },
  });

  const answers = run.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { reason: string; message: string });
  expect(answers).toHaveLength(bad.length);
  answers.forEach(({ reason, message }, k) => {
    const [, , said, line] = bad[k]!;
    expect(reason).toBe("STRATEGY_IMPORT_FAILED");
    expect(message).toContain(files[k]);
    expect(message).toContain(said);
    expect(message).toContain(line);
  });
});
