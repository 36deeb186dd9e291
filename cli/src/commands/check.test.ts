import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runInProcess } from "./testing/run-in-process.ts";

const folder = mkdtempSync(join(tmpdir(), "qmtl-check-"));
const config = join(folder, "qmtl.yml");
afterAll(() => rmSync(folder, { recursive: true }));

const closes = Array.from({ length: 400 }, (_, k) => 100 + 20 * Math.sin(k) + 7 * Math.cos(k * k));

beforeAll(() => {
  const root = fileURLToPath(new URL("../../../", import.meta.url));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  const day = (k: number) => new Date(Date.UTC(2020, 0, 1 + k)).toISOString().slice(0, 10);
  const rows = closes.map((close, k) => `${day(k)},${k === 50 ? "" : close}`);
  writeFileSync(join(folder, "px.csv"), `date,close\n${rows.join("\n")}\n`);
  writeFileSync(config, "sources: {px: {file: px.csv, interval: 1d}}\n");
});

/** A strategy of folds: averages with a claim, a total without one, and one that changes the shape of its state. */
function strategy(name: string, folds: string): string {
  const file = join(folder, name);
  writeFileSync(
    file,
    `import { column, FoldNode, Strategy, StreamInput } from "@qmtl/sdk";
export class Folds extends Strategy {
  setup() {
    const bars = new StreamInput({ source: "px", columns: ["close"], interval: "1d" });
    const close = column(bars, "close");
    const average = (memory) => new FoldNode({
      name: "average " + memory, inputs: { close }, initial: { v: NaN }, params: { alpha: 0.1 }, memory,
      onMissing: "carry",
      step: (s, x, p) => (s.v = Number.isNaN(s.v) ? x.close : s.v + p.alpha * (x.close - s.v)),
    });
    this.addNodes([${folds}]);
  }
}
`,
  );
  return file;
}

test("the memory that a fold claims is measured, and one that is too short ends with 1", async () => {
  const file = strategy("claims.ts", "average(250), average(60), average(399), average('all')");

  const { exitCode, out } = await runInProcess("--config", config, "check", file);

  const found = (name: string) => out.find((line) => line.startsWith(name));
  expect(exitCode).toBe(1);
  expect(found("average 250")).toMatch(/ {2}250 {5}400 {3}ok: \d\.\de-1\d of the largest output/);
  expect(found("average 60")).toMatch(/WRONG: \d\.\de-[234] of the largest output depends/);
  expect(found("average 399")).toContain("not measured: needs more than 400 rows");
  expect(found("average all")).toContain("ok: claims nothing");
});

test("claims that hold end with 0, also as JSON; a strategy without folds has nothing to check", async () => {
  const file = strategy("true.ts", "average(250)");
  const none = strategy("none.ts", "close");

  const { exitCode, out } = await runInProcess("--config", config, "--json", "check", file);

  expect(exitCode).toBe(0);
  expect(JSON.parse(out[0]!)).toMatchObject({
    folds: [{ name: "average 250", memory: 250, rows: 400, starts: 8, holds: true }],
  });
  expect(await runInProcess("--config", config, "check", none)).toMatchObject({
    exitCode: 0,
    out: ["the strategy has no FoldNode"],
  });
});

test("a state of another shape is an error at its row", async () => {
  const odd = `new FoldNode({
    name: "odd", inputs: { close }, initial: { v: 0 },
    step: (s, x) => { s.v = x.close > 120 ? "high" : 0; return 1; },
  })`;

  const { exitCode, err } = await runInProcess(
    ...["--config", config, "check", strategy("odd.ts", odd)],
  );

  const row = closes.findIndex((close) => close > 120);
  expect(exitCode).toBe(2);
  expect(err.join("\n")).toContain(`node "odd" at row ${row} `);
  expect(err.join("\n")).toContain('field "v" of the state is string; it must stay a number');
});
