import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, stat, symlink } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { describe, expect, test } from "vitest";
import { QmtlCommand } from "../../../examples/demo/src/qmtl-command.ts";
import { servicesStory } from "./services-story.ts";
import type { Service } from "./start-services.ts";

/** The oldest supported Node, if the machine has it; otherwise the one of this process. */
const node =
  (process.env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => !folder.includes("node_modules"))
    .map((folder) => join(folder, "node"))
    .filter((file) => existsSync(file))
    .find((file) => /^v20\./.test(execFileSync(file, ["--version"]).toString())) ??
  process.execPath;

/** Runs commands with an empty HOME, and a PATH that has only Node. */
async function emptyHome(folder: string): Promise<QmtlCommand> {
  const [home, bin] = [join(folder, "home"), join(folder, "bin")];
  await mkdir(home);
  await mkdir(bin);
  await symlink(node, join(bin, "node"));
  const env = { HOME: home, PATH: bin };
  return new QmtlCommand(undefined, folder, { node: join(bin, "node"), env });
}

describe("three services with built-in defaults, in an empty HOME", () => {
  let at = "";
  servicesStory(async () => ({
    config: "",
    program: (folder) => {
      at = folder;
      return emptyHome(folder);
    },
    // The process that was started may be a wrapper that found and started a newer Node.
    pidOf: async (service: Service, folder) => {
      const lock = await readFile(join(folder, ".qmtl", `data-${service}`, "lock"), "utf8");
      const { pid }: { pid: number } = JSON.parse(lock);
      return pid;
    },
  }));

  test("leave a secret that is theirs alone, and a folder for each", async () => {
    const secret = await stat(join(at, "home/.local/state/qmtl/gateway-secret"));
    expect(secret.mode & 0o777).toBe(0o600);
    expect((await readdir(join(at, ".qmtl"))).filter((name) => name.startsWith("data"))).toEqual([
      "data-dag-manager",
      "data-gateway",
      "data-world-service",
    ]);
  });
});
