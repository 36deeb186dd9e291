import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePorts, waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, describe, expect, test } from "vitest";

const program = fileURLToPath(new URL("../bin/qmtl.js", import.meta.url));

/** A Node too old to run the program itself, so that it starts the pinned one; undefined where there is none. */
function olderNode(): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders
    .map((folder) => join(folder, "node"))
    .find((node) => {
      const { stdout } = spawnSync(node, ["--version"], { encoding: "utf8" });
      const major = Number(/^v(\d+)/.exec(stdout ?? "")?.[1] ?? 99);
      return major < 24;
    });
}

const node = olderNode();
const folder = mkdtempSync(join(tmpdir(), "qmtl-wrapper-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** True while a process exists and is not a zombie. */
function isRunning(pid: number): boolean {
  const { stdout } = spawnSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" });
  return stdout.trim() !== "" && !stdout.trim().startsWith("Z");
}

describe("in a clone without its packages", () => {
  /** A copy of the program beside a source that imports a missing package, as before `npm ci`. */
  function cloned(): string {
    const clone = mkdtempSync(join(tmpdir(), "qmtl-clone-"));
    mkdirSync(join(clone, "bin"));
    mkdirSync(join(clone, "src"));
    cpSync(program, join(clone, "bin/qmtl.js"));
    writeFileSync(join(clone, "package.json"), '{ "type": "module" }');
    writeFileSync(join(clone, "src/main.ts"), 'import "no-such-package";\n');
    return clone;
  }

  test("the one command that helps is named, without a stack", () => {
    const clone = cloned();
    const { status, stderr } = spawnSync(process.execPath, [join(clone, "bin/qmtl.js"), "up"], {
      encoding: "utf8",
    });
    rmSync(clone, { recursive: true });

    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: "qmtl: Cannot find package 'no-such-package'; run `npm ci` in the repository\n",
    });
  });

  test.skipIf(node === undefined)(
    "an older Node names it, too (skipped where there is none)",
    () => {
      const clone = cloned();
      const { status, stderr } = spawnSync(node ?? "", [join(clone, "bin/qmtl.js"), "up"], {
        encoding: "utf8",
      });
      rmSync(clone, { recursive: true });

      expect(status).toBe(2);
      expect(stderr).toMatch(
        /^qmtl needs Node 24 .* not installed: run `npm ci` in the repository\n$/,
      );
    },
  );
});

describe.skipIf(node === undefined)("under an older Node (skipped where there is none)", () => {
  test("kill -9 of the wrapper also ends the program it runs", async () => {
    const [gateway, web, dag, world] = await freePorts(4);
    const config = [
      `gateway: {port: ${gateway}, web_port: ${web}}`,
      `dag_manager: {port: ${dag}}`,
      `world_service: {port: ${world}}`,
      `storage: {kind: embedded, data_dir: ${join(folder, "data")}}`,
    ];
    writeFileSync(join(folder, "qmtl.yml"), config.join("\n"));
    const wrapper = spawn(node ?? "", [program, "--config", join(folder, "qmtl.yml"), "up"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let output = "";
    wrapper.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    await waitUntil(() => output.includes("ready"));
    const { stdout } = spawnSync("ps", ["-o", "pid=", "--ppid", String(wrapper.pid)], {
      encoding: "utf8",
    });
    const pid = Number(stdout.trim());
    expect(isRunning(pid)).toBe(true);

    wrapper.kill("SIGKILL");

    await waitUntil(() => !isRunning(pid), { what: "the program ended" });
  }, 60_000);
});
