import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type NewMachine, repository } from "./new-machine.ts";

/** Tests of the packages' content, once they are installed in `app` and their content is in `packages/stage`. */
export function installedPackages(at: () => NewMachine): void {
  test("0: the pinned Node comes along on the machines it is made for", () => {
    const machine = `${process.platform}-${process.arch}`;
    if (!["linux-x64", "linux-arm64", "win32-x64"].includes(machine)) return;
    const name = `node-${machine.replace("win32", "win")}/package.json`;
    const program = join(at().folder, "app/node_modules/qmtl-cli/bin/qmtl.js");

    expect(createRequire(program).resolve(name)).toMatch(/package\.json$/);
  });

  test("0: the descriptors for reflection and all migrations come along", async () => {
    const installed = join(at().folder, "app/node_modules/@qmtl");
    const migrations = await Promise.all(
      ["dag-manager", "gateway", "world-service"].map(async (service) => {
        const files = await readdir(join(repository, "services", service), { recursive: true });
        return files
          .filter((path) => /^migrations[^/\\]*[/\\].+\.sql$/.test(path))
          .map((path) => [join("services", service, path), join(service, path)]);
      }),
    );
    const pairs = [["proto/baseline.binpb", "service-kit/descriptors.binpb"], ...migrations.flat()];

    expect(pairs.length).toBeGreaterThan(8);
    for (const [source = "", place = ""] of pairs) {
      const packed = await readFile(join(installed, place));
      expect(packed.equals(await readFile(join(repository, source))), place).toBe(true);
    }
  });

  test("0: no package names a place of the machine it was built on, nor ships a test or a source", async () => {
    const stage = join(at().folder, "packages/stage");
    const files = (await readdir(stage, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    const texts = await Promise.all(
      files.map(async (file) => ({ file, text: await readFile(file, "latin1") })),
    );

    const place = repository.replace(/[\\/]$/, "");
    expect(texts.filter(({ text }) => text.includes(place)).map(({ file }) => file)).toEqual([]);
    const odd = /[\\/]dist[\\/].*((\.test|\.contract|\.child)\.[jt]s|(?<!\.d)\.ts)$/;
    expect(files.filter((file) => odd.test(file))).toEqual([]);
    expect(files.length).toBeGreaterThan(500);
  });
}

/** Tests of what the packages compute, once there is a project. */
export function packedNodes(at: () => NewMachine): void {
  test("2: a strategy has the node ids and figures it has from the sources", async () => {
    const project = "app/my_qmtl_project";
    const packed = await at().type("npx qmtl run strategy.ts --json", project);
    const program = join(repository, "cli/bin/qmtl.js");
    // A copy of the project that uses the repository's packages instead of the installed ones.
    const besides = `mkdir -p besides && cp -r ${project}/{strategy.ts,qmtl.yml,data,indicators,transforms} besides/ && ln -sfn ${join(repository, "node_modules")} besides/node_modules`;
    await at().type(besides);
    const source = await at().type(`node ${program} run strategy.ts --json`, "besides");

    const { nodes } = JSON.parse(packed.stdout) as { nodes: { id: string; name: string }[] };
    expect(nodes.length).toBeGreaterThan(4);
    expect(JSON.parse(packed.stdout)).toEqual(JSON.parse(source.stdout));
  });
}
