import { createHash } from "node:crypto";
import {
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
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type InitProjectOptions, initProject } from "./init-project.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "init-project-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const init = (options: Partial<InitProjectOptions> = {}) =>
  initProject({ path: join(folder, "mine"), ...options });
const read = (path: string): string => readFileSync(join(folder, "mine", path), "utf8");
const manifest = (): Record<string, Record<string, string>> => JSON.parse(read("package.json"));

describe("what is asked for", () => {
  test("without a choice it is the general template, named after its folder", async () => {
    const made = await init();

    expect(made).toMatchObject({ name: "mine", folder: join(folder, "mine") });
    expect(read("strategy.ts")).toContain("class General");
    expect(read("qmtl.yml")).toContain("project: {name: mine}");
    expect(read("README.md")).toContain("# mine\n");
    expect(manifest().name).toBe("mine");
  });

  test("the older spelling of a template with an underscore is understood", async () => {
    await init({ strategy: "single_indicator" });

    expect(read("strategy.ts")).toContain("class SingleIndicator");
  });

  test.for<[string, Partial<InitProjectOptions>]>([
    ["TEMPLATE_UNKNOWN", { strategy: "nosuch" }],
    ["PRESET_UNKNOWN", { preset: "nosuch" }],
    ["LAYER_UNKNOWN", { layers: ["data", "nosuch"] }],
    ["LAYER_UNKNOWN", { layers: [] }],
    ["TEMPLATE_UNKNOWN", { strategy: "general", preset: "minimal" }],
    ["PACKAGES_INVALID", { packages: "/nosuch" }],
  ])("%s: %j is refused and nothing is written", async ([reason, options]) => {
    await expect(init(options)).rejects.toMatchObject({ reason });
    expect(readdirSync(folder)).toEqual([]);
  });

  test.for<[string, string]>([
    ["My Project", "my-project"],
    ["-x", "x"],
    ["Über Café!", "uber-cafe"],
    ["日本 2", "2"],
  ])("a folder named %j gives the name %j", async ([path, name]) => {
    const made = await init({ path: join(folder, path) });

    expect(made).toMatchObject({ name, folder: join(folder, path) });
    const text = readFileSync(join(folder, path, "package.json"), "utf8");
    expect(JSON.parse(text).name).toBe(name);
  });

  test("a path in the way is refused in words, and nothing is left", async () => {
    writeFileSync(join(folder, "file"), "");
    symlinkSync(join(folder, "nowhere"), join(folder, "link"));

    for (const path of ["file/below", "link"])
      await expect(init({ path: join(folder, path) })).rejects.toMatchObject({
        reason: "PATH_TAKEN",
        message: expect.stringMatching(/cannot be created: (file already exists|not a directory);/),
      });
    await expect(init({ path: " " })).rejects.toMatchObject({ message: "--path is empty" });
    expect(readdirSync(folder).sort()).toEqual(["file", "link"]);
  });

  test.for(["日本", "...", "node_modules"])("%s is no name", async (name) => {
    await expect(init({ path: join(folder, name) })).rejects.toMatchObject({
      reason: "NAME_INVALID",
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  test("layers bring what they require", async () => {
    await init({ layers: ["brokerage"] });

    const layers = readdirSync(join(folder, "mine", "layers")).sort();
    expect(layers).toEqual(["brokerage", "data", "execution", "signal"]);
  });

  test("the preset for execution has no signal of its own, and its bars carry one", async () => {
    await init({ preset: "execution", withSampleData: true });

    expect(readdirSync(join(folder, "mine", "layers")).sort()).toEqual(["brokerage", "execution"]);
    expect(manifest().qmtl).toEqual({ signal_source: "external" });
    expect(manifest().scripts?.data).toContain("--with-signal");
    expect(read("data/bars.csv")).toMatch(/^date,open,high,low,close,volume,signal\n/);
  });
});

describe("a folder that is there", () => {
  beforeEach(() => {
    mkdirSync(join(folder, "mine", "data"), { recursive: true });
    writeFileSync(join(folder, "mine", "strategy.ts"), "// mine\n");
    writeFileSync(join(folder, "mine", "data", "bars.csv"), "my data\n");
    writeFileSync(join(folder, "mine", "notes.txt"), "notes\n");
  });

  test("is refused, and nothing in it is touched", async () => {
    await expect(init()).rejects.toMatchObject({ reason: "PATH_TAKEN" });

    expect(readdirSync(join(folder, "mine")).sort()).toEqual(["data", "notes.txt", "strategy.ts"]);
    expect(read("strategy.ts")).toBe("// mine\n");
  });

  test("with force gets the project; other files, and data, are left", async () => {
    await init({ force: true, withSampleData: true });

    expect(read("strategy.ts")).toContain("class General");
    expect(read("notes.txt")).toBe("notes\n");
    expect(read("data/bars.csv")).toBe("my data\n");
    expect(readdirSync(join(folder, "mine")).filter((name) => name.startsWith(".qmtl"))).toEqual(
      [],
    );
  });

  test("a file in the way is refused with force, too", async () => {
    writeFileSync(join(folder, "file"), "x");

    const refused = init({ path: join(folder, "file"), force: true });
    await expect(refused).rejects.toMatchObject({ reason: "PATH_TAKEN" });
  });
});

test("sample data are the same on every machine", async () => {
  await init({ withSampleData: true });

  expect(createHash("sha256").update(read("data/bars.csv")).digest("hex")).toBe(
    "e77f0b352e35bdb08821a907f1bd1a9b2cc3e1154b14317f732387a8821fbec6",
  );
});

describe("the packages it names", () => {
  const pack = (file: string, name: string, version = "9.9.9"): void => {
    const text = JSON.stringify({ name, version });
    const header = Buffer.alloc(512);
    header.write("package/package.json", 0);
    header.write(text.length.toString(8).padStart(11, "0"), 124);
    const body = Buffer.alloc(Math.ceil(text.length / 512) * 512);
    body.write(text);
    mkdirSync(join(folder, "packed"), { recursive: true });
    writeFileSync(join(folder, "packed", file), gzipSync(Buffer.concat([header, body])));
  };
  const packages = (): string => join(folder, "packed");

  test("packed ones are named by file, all of them, relative to the project", async () => {
    pack("qmtl-cli-9.9.9.tgz", "qmtl-cli");
    pack("qmtl-sdk-9.9.9.tgz", "@qmtl/sdk");
    pack("qmtl-contracts-9.9.9.tgz", "@qmtl/contracts");
    const made = await init({ packages: packages() });

    expect(made.fromRegistry).toBe(false);
    expect(manifest().dependencies).toEqual({
      "@qmtl/contracts": "file:../packed/qmtl-contracts-9.9.9.tgz",
      "@qmtl/sdk": "file:../packed/qmtl-sdk-9.9.9.tgz",
      "qmtl-cli": "file:../packed/qmtl-cli-9.9.9.tgz",
    });
  });

  test("a needed one that is missing, one packed twice and a file that is none are refused", async () => {
    pack("qmtl-cli-1.tgz", "qmtl-cli");
    await expect(init({ packages: packages() })).rejects.toThrow("holds no package @qmtl/sdk");

    pack("qmtl-cli-2.tgz", "qmtl-cli");
    await expect(init({ packages: packages() })).rejects.toThrow("qmtl-cli more than once");

    writeFileSync(join(packages(), "qmtl-cli-2.tgz"), "no tarball");
    await expect(init({ packages: packages() })).rejects.toMatchObject({
      reason: "PACKAGES_INVALID",
    });
    expect(readdirSync(folder)).toEqual(["packed"]);
  });

  test("tools and the pinned Node are those of the repository", async () => {
    await init();
    const root = JSON.parse(
      readFileSync(new URL("../../../package.json", import.meta.url), "utf8"),
    ) as Record<string, Record<string, string>>;

    expect(manifest().optionalDependencies).toEqual(root.optionalDependencies);
    for (const [name, version] of Object.entries(manifest().devDependencies ?? {}))
      expect(root.devDependencies?.[name], name).toBe(version);
  });
});
