import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type ExampleProject, openExample } from "../smoke/example-project.ts";
import { pythonEnvironment, pythonTool } from "../smoke/python-venv.ts";
import { installWheel, typeFaults, type WheelInstallation } from "../smoke/python-wheel.ts";
import { stubDrift } from "../smoke/stub-drift.ts";
import { describeWithTool } from "../smoke/suite-of-tool.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

describeWithTool("the Python package of the contracts", pythonTool(), (tools) => {
  let folder: string;
  let installed: WheelInstallation;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "qmtl-wheel-"));
    installed = await installWheel(tools, folder);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test("is one wheel for every Python, and brings the stubs with what they need", async () => {
    expect(basename(installed.wheel)).toMatch(/^qmtl_contracts-[\d.]+-py3-none-any\.whl$/);
    const everyModule = `
import importlib, importlib.util, pathlib, zipfile, sys
names = zipfile.ZipFile(sys.argv[1]).namelist()
modules = [name.removesuffix(".py").replace("/", ".") for name in names if name.endswith("_pb2.py") or name.endswith("_pb2_grpc.py")]
for module in modules: importlib.import_module(module)
missing = [name for name in names if name.endswith("_pb2.py") and name + "i" not in names]
print(len(modules) > 40, missing, [name for name in names if name.endswith("py.typed")])`;
    const { stdout } = await promisify(execFile)(
      installed.python,
      ["-c", everyModule, installed.wheel],
      { cwd: folder },
    );

    expect(stdout.trim()).toBe("True [] ['buf/py.typed', 'qmtl/py.typed']");
  });

  test("has types: the client is clean under mypy --strict, and a misspelt field is found", async () => {
    const client = join(import.meta.dirname, "client.py");
    const options = ["--config-file", join(import.meta.dirname, "mypy.ini")];
    const strict = [...options, "--strict", "--cache-dir", join(folder, "mypy")];
    const faulty = join(folder, "faulty.py");
    const text = await readFile(client, "utf8");
    await writeFile(
      faulty,
      text.replace("page_size=", "page_sise=").replace("page.worlds", "page.worldz"),
    );

    expect(await typeFaults(tools, installed.python, client, strict)).toBe("");
    const faults = await typeFaults(tools, installed.python, faulty, strict);
    expect(faults).toContain('Unexpected keyword argument "page_sise"');
    expect(faults).toContain('has no attribute "worldz"');
  });

  describe("and a client of it", () => {
    clientSuite(() => installed.terminal);
  });
});

function clientSuite(terminal: () => Readonly<Record<string, string>>): void {
  let example: ExampleProject;
  beforeAll(async () => {
    example = await openExample("python-client", terminal());
    await example.typeStaying("npx qmtl up                     # stays").waitFor(/ready/);
    await example.type("npx qmtl world create ops");
  });
  afterAll(() => example?.[Symbol.asyncDispose]());

  test("lists worlds, asks for a decision, and sees a snapshot and then a change", async () => {
    const client = example.typeStaying("python client.py --gateway 127.0.0.1:7400 --world ops");
    await client.waitFor(/waiting/);
    await example.type('npx qmtl world freeze ops --reason "to see it"');
    const { exitCode, stdout } = await client.ended;

    expect(stdout.match(/^\w+/gm)).toEqual([
      ...["world", "decision", "ticket", "snapshot", "waiting", "change"],
    ]);
    expect(stdout).toContain("world     ops: wall clock, policy none");
    expect(stdout).toContain(
      "decision  ops: validate, orders as in backtest; world_stage=validate",
    );
    expect(stdout).toContain("snapshot  gate open, fence 1, revision 1");
    expect(stdout).toContain(
      "change    freeze: gate closing, fence 2, revision 2, held: manual (to see it)",
    );
    expect(exitCode).toBe(0);
  });

  test("tells a refusal by its stable reason", async () => {
    const refused = await example.typeRefused(
      "python client.py --gateway 127.0.0.1:7400 --world nowhere",
    );

    expect(refused.stderr).toContain("refused   WORLD_NOT_FOUND: there is no world nowhere");
    expect(example.untyped()).toEqual([]);
  });
}

describeWithTool("the stubs in gen/python/src", pythonTool(), () => {
  test("are what the contracts generate, with their types", async () => {
    const { made, drifted } = await stubDrift(
      "buf.gen.python.yaml",
      "gen/python/src",
      pythonEnvironment(),
    );

    expect(made).toBeGreaterThan(80);
    expect(drifted, "generate them again: npm run gen:python").toEqual([]);
  });
});
