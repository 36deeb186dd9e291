import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { addLayer } from "./add-layer.ts";
import { initProject } from "./init-project.ts";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "add-layer-"));
  path = join(folder, "mine");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const layers = (): string[] => readdirSync(join(path, "layers")).sort();
const texts = (): Record<string, string> =>
  Object.fromEntries(
    readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((file) => [file, readFileSync(file, "utf8")]),
  );

test("a layer comes with those it requires and its tests; no file that was there changes", async () => {
  await initProject({ path, preset: "minimal" });
  const before = texts();

  const added = await addLayer({ path, layer: "brokerage" });

  expect(added.layers).toEqual(["execution", "brokerage"]);
  expect(added.files).toContain("tests/brokerage.test.ts");
  expect(added.wiring).toHaveLength(2);
  expect(layers()).toEqual(["brokerage", "data", "execution", "signal"]);
  const after = texts();
  expect(Object.keys(after)).toHaveLength(Object.keys(before).length + added.files.length);
  expect(after).toMatchObject(before);
});

test("a layer that exists already is refused", async () => {
  await initProject({ path, preset: "minimal" });

  const again = addLayer({ path, layer: "data" });
  await expect(again).rejects.toMatchObject({ reason: "LAYER_PRESENT" });
});

test("where the signal comes with the data, data and signal are not added", async () => {
  await initProject({ path, preset: "execution" });
  rmSync(join(path, "layers"), { recursive: true });
  rmSync(join(path, "tests", "brokerage.test.ts"));

  const added = await addLayer({ path, layer: "brokerage" });

  expect(added.layers).toEqual(["execution", "brokerage"]);
  const refused = addLayer({ path, layer: "signal" });
  await expect(refused).rejects.toMatchObject({ reason: "LAYER_PRESENT" });
});

test("one file in the way refuses all, and nothing is touched", async () => {
  await initProject({ path, strategy: "general" });
  mkdirSync(join(path, "tests"), { recursive: true });
  writeFileSync(join(path, "tests", "signal.test.ts"), "// mine\n");
  const before = texts();

  const refused = addLayer({ path, layer: "execution" });

  await expect(refused).rejects.toMatchObject({ reason: "PATH_TAKEN" });
  expect(texts()).toEqual(before);
  expect(readdirSync(path)).not.toContain("layers");
});

test("a template is chosen by name; one that cannot be used yet says why", async () => {
  await initProject({ path, layers: ["data"] });

  await addLayer({ path, layer: "signal", template: "multi_indicator" });

  expect(readFileSync(join(path, "layers/signal/signal.ts"), "utf8")).toContain("RSI(14)");
  const exchange = addLayer({ path, layer: "brokerage", template: "ccxt_binance" });
  await expect(exchange).rejects.toMatchObject({ reason: "TEMPLATE_NOT_BUILT", exitCode: 4 });
  const unknown = addLayer({ path, layer: "brokerage", template: "nosuch" });
  await expect(unknown).rejects.toMatchObject({ reason: "TEMPLATE_UNKNOWN" });
  expect(layers()).toEqual(["data", "signal"]);
});

test("a folder without a project, and a layer without a name, are refused", async () => {
  mkdirSync(path);

  await expect(addLayer({ path, layer: "data" })).rejects.toMatchObject({
    reason: "NOT_A_PROJECT",
  });
  await expect(addLayer({ path, layer: "nosuch" })).rejects.toMatchObject({
    reason: "LAYER_UNKNOWN",
  });
  expect(readdirSync(path)).toEqual([]);
});
