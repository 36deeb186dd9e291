import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { runOffline } from "../smoke/offline-run.ts";

interface Line {
  readonly type: string;
  readonly at?: string;
  readonly target?: number;
  readonly price?: number;
}

let folder: string;
let file: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "recorder-"));
  file = join(folder, "made", "record.jsonl");
  vi.stubEnv("RECORD_FILE", file);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

const read = (): Line[] =>
  readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);

describe("the recorder", () => {
  test("writes every target and every fill of the run, in order, between a start and a finish", async () => {
    const result = await runOffline(import.meta.dirname);

    const lines = read();
    expect([lines[0]?.type, lines.at(-1)?.type]).toEqual(["start", "finish"]);
    const fills = lines.filter(({ type }) => type === "fill");
    expect(fills.map(({ price }) => price)).toEqual(result.fills.map(({ price }) => price));
    const targets = lines.flatMap(({ type, target }) => (type === "signal" ? [target] : []));
    expect(targets.length).toBe(result.afterTarget.targetChanges);
    expect(targets.slice(0, 4)).toEqual([1, 0, 1, 0]);
    const times = lines.flatMap(({ at }) => at ?? []);
    expect(times).toEqual([...times].sort());
  });

  test("writes the same bytes again", async () => {
    await runOffline(import.meta.dirname);
    const first = readFileSync(file);
    await runOffline(import.meta.dirname);

    expect(readFileSync(file)).toEqual(first);
  });

  test("keeps what it has when the run fails", async () => {
    await expect(
      runOffline(import.meta.dirname, "strategy.ts", { from: "2030-01-01" }),
    ).rejects.toThrow("no bar between");

    expect(read().map(({ type }) => type)).toEqual(["start", "error", "finish"]);
  });
});
