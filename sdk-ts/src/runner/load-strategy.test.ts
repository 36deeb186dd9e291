import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadStrategy } from "./load-strategy.ts";

const sdk = JSON.stringify(fileURLToPath(new URL("../strategy/index.ts", import.meta.url)));
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
  expect(String(error)).toContain("Fast, Slow");
  expect((await loadStrategy(path, "Slow")).name).toBe("Slow");
  await expect(loadStrategy(path, "Medium")).rejects.toMatchObject({
    reason: "STRATEGY_NOT_EXPORTED",
    message: expect.stringContaining("Fast, Slow"),
  });
});
