import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { waitUntil } from "@qmtl/sdk/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { main } from "../main.ts";

const program = fileURLToPath(new URL("../../bin/qmtl.js", import.meta.url));
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "project-command-"));
});
afterEach(() => {
  vi.restoreAllMocks();
  // A generator that outlives its killed parent may still write.
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  process.exitCode = undefined;
});

/** Runs the command line here; gives what it printed and the exit code. */
async function qmtl(...args: string[]): Promise<{ out: string; err: string; code: number }> {
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  const error = vi.spyOn(console, "error").mockImplementation(() => {});
  process.exitCode = undefined;
  await main(["node", "qmtl", "project", ...args]);
  const text = (spy: typeof log): string => spy.mock.calls.map(([line]) => String(line)).join("\n");
  const printed = { out: text(log), err: text(error), code: Number(process.exitCode ?? 0) };
  vi.restoreAllMocks();
  return printed;
}

describe("lists", () => {
  test("presets are told with their layers, templates where they are asked for", async () => {
    const presets = await qmtl("list-presets");
    const all = await qmtl("list-presets", "--show-legacy-templates");

    for (const name of ["minimal", "production", "research", "execution"])
      expect(presets.out).toContain(name);
    expect(presets.out).not.toContain("branching");
    for (const name of [
      "general",
      "single-indicator",
      "multi-indicator",
      "branching",
      "state-machine",
      "intent-first",
      "multi-world",
    ])
      expect(all.out).toContain(name);
  });

  test("layers are told in order; in JSON with their templates and what they require", async () => {
    const { out } = await qmtl("list-layers", "--json");
    const layers = JSON.parse(out) as { name: string; requires: string[] }[];

    expect(layers.map((layer) => layer.name)).toEqual([
      "data",
      "signal",
      "execution",
      "brokerage",
      "monitoring",
    ]);
    expect(layers[3]).toMatchObject({
      requires: ["execution"],
      templates: [{ name: "paper", not_built: null }, { name: "ccxt-binance" }],
    });
  });
});

describe("exit codes", () => {
  test("0 for a project that is made, 1 when its folder is there already", async () => {
    const path = join(folder, "mine");
    const made = await qmtl("init", "--path", path, "--preset", "minimal");
    const again = await qmtl("init", "--path", path, "--json");

    expect(made).toMatchObject({ code: 0, err: "" });
    expect(made.out).toContain("npm install && npm start");
    expect(again.code).toBe(1);
    expect(JSON.parse(again.err)).toMatchObject({ reason: "PATH_TAKEN" });
  });

  test("2 for names there are not, with those there are; nothing is written", async () => {
    const path = join(folder, "mine");
    const template = await qmtl("init", "--path", path, "--strategy", "nosuch");
    const layer = await qmtl("init", "--path", path, "--layers", "data,nosuch");
    const nothing = await qmtl("init");

    expect(template).toMatchObject({ code: 2, err: expect.stringContaining("branching") });
    expect(layer).toMatchObject({ code: 2, err: expect.stringContaining("brokerage") });
    expect(nothing).toMatchObject({ code: 2, err: expect.stringContaining("--path") });
    expect(readdirSync(folder)).toEqual([]);
  });

  test("1 when something of the project is broken", async () => {
    const path = join(folder, "mine");
    await qmtl("init", "--path", path);
    rmSync(join(path, "qmtl.yml"));

    const broken = await qmtl("validate", "--path", path, "--json");

    expect(broken.code).toBe(1);
    expect(JSON.parse(broken.out).checks).toContainEqual(
      expect.objectContaining({ status: "error", message: "qmtl.yml is missing" }),
    );
  });

  test("add-layer says what it added and how to use it", async () => {
    const path = join(folder, "mine");
    await qmtl("init", "--path", path, "--preset", "minimal");

    const added = await qmtl("add-layer", "execution", "--path", path);

    expect(added.code).toBe(0);
    expect(added.out).toContain("layers/execution/nodeset.ts");
    expect(added.out).toContain("executionOf({ signal, price");
  });
});

test.for(["SIGINT", "SIGKILL"] as const)(
  "stopped by %s while it writes, it leaves all of a project or none",
  async (signal) => {
    const args = [program, "project", "init", "--path", "mine", "--with-sample-data"];
    const child = spawn(process.execPath, args, { cwd: folder, stdio: "ignore" });
    const ended = new Promise<number | null>((resolve) => child.on("exit", resolve));
    await waitUntil(() => readdirSync(folder).length > 0, "a file", 30_000);
    child.kill(signal);
    const code = await ended;

    const whole = ["data/bars.csv", "package.json", "strategy.ts", "tsconfig.json"];
    const there = whole.filter((file) => existsSync(join(folder, "mine", file)));
    expect(there).toEqual(code === 0 || existsSync(join(folder, "mine")) ? whole : []);
    if (signal === "SIGINT") {
      expect(code === 0 || code === 130).toBe(true);
      expect(readdirSync(folder)).toEqual(code === 0 ? ["mine"] : []);
    }
  },
);
