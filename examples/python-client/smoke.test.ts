import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type ExampleProject, openExample } from "../smoke/example-project.ts";
import { pythonTool } from "../smoke/python-venv.ts";
import { describeWithTool } from "../smoke/suite-of-tool.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const repository = fileURLToPath(new URL("../..", import.meta.url));

/** What a terminal looks like after `source .venv/bin/activate`. */
function activated(python: string): Record<string, string> {
  return {
    PATH: `${dirname(python)}${delimiter}${process.env.PATH}`,
    PYTHONDONTWRITEBYTECODE: "1",
  };
}

describeWithTool("a client in Python", pythonTool(), (python) => {
  let example: ExampleProject;
  beforeAll(async () => {
    example = await openExample("python-client", activated(python));
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
});

describeWithTool("the stubs in gen/python/src", pythonTool(), (python) => {
  test("are what the contracts generate", async () => {
    const fresh = await mkdtemp(join(tmpdir(), "qmtl-gen-python-"));
    try {
      const template = await readFile(join(repository, "buf.gen.python.yaml"), "utf8");
      await promisify(execFile)(
        join(repository, "node_modules", ".bin", "buf"),
        ["generate", "--template", template.replaceAll("gen/python/src", fresh)],
        { cwd: repository, env: { ...process.env, ...activated(python) } },
      );

      const hint = "generate them again: gen/README.md says how";
      const committed = join(repository, "gen", "python", "src");
      const made = await pythonFiles(fresh);
      expect(made.length).toBeGreaterThan(40);
      expect(await pythonFiles(committed), hint).toEqual(made);
      for (const file of made)
        expect(await readFile(join(committed, file), "utf8"), `${file}: ${hint}`).toBe(
          await readFile(join(fresh, file), "utf8"),
        );
    } finally {
      await rm(fresh, { recursive: true, force: true });
    }
  });
});

async function pythonFiles(folder: string): Promise<string[]> {
  const all = await readdir(folder, { recursive: true });
  return all.filter((file) => file.endsWith(".py")).sort();
}
