import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePorts } from "@qmtl/service-kit/testing";
import { describe, expect, test } from "vitest";
import { CommandRefused } from "../../../examples/demo/src/qmtl-command.ts";
import type { BadInputStack } from "./bad-input-stack.ts";
import { commandRefusal } from "./refusals.ts";

const program = fileURLToPath(new URL("../../../cli/bin/qmtl.js", import.meta.url));
/** A platform that starts although it must not is ended after this, milliseconds. */
const upMsMax = 100_000;

const CASES = [
  {
    what: "a misspelt key",
    config: "gateway:\n  prt: 7400\n",
    told: {
      reason: "CONFIG_INVALID",
      issues: [{ path: "gateway.prt", line: 2, column: 3, suggestion: "port" }],
    },
  },
  {
    what: "a value of another kind",
    config: "gateway:\n  port: many\n",
    told: { reason: "CONFIG_INVALID", issues: [{ path: "gateway.port", line: 2, column: 9 }] },
  },
  {
    what: "a listener beyond loopback without TLS and keys",
    config: "gateway:\n  host: 0.0.0.0\n",
    told: {
      reason: "CONFIG_INVALID",
      issues: [
        {
          path: "gateway.host",
          line: 2,
          message: expect.stringContaining("needs security.tls and security.keys"),
        },
      ],
    },
  },
  {
    what: "a planted fault of the broker without test mode",
    config: "accounts:\n  main: {faults: ['lose_reply:*:1']}\n",
    told: {
      reason: "CONFIG_INVALID",
      issues: [{ path: "accounts.main.faults", line: 2, message: "needs test.test_mode: true" }],
    },
  },
];

/** Tests of configurations with which a platform must not start. */
export function startUpCases(at: () => BadInputStack): void {
  let folders = 0;
  /** Runs a `qmtl up` that must end; gives its refusal. */
  async function up(config: string, env: Readonly<Record<string, string>> = {}) {
    const folder = join(at().stack.folder, `up-${folders++}`);
    await mkdir(folder);
    await writeFile(join(folder, "qmtl.yml"), config);
    const args = [program, "--config", join(folder, "qmtl.yml"), "--json", "up"];
    const ended = new Promise((resolve, reject) => {
      const options = { cwd: folder, env: { ...process.env, ...env }, timeout: upMsMax };
      execFile(process.execPath, args, options, (failure, stdout, stderr) => {
        if (failure === null) resolve(stdout);
        else reject(new CommandRefused(["up"], Number(failure.code ?? -1), stderr || stdout));
      });
    });
    return commandRefusal(ended);
  }

  describe("a platform does not start with", { timeout: 120_000 }, () => {
    test.each(CASES)("$what: exit code 2, with the place", async ({ config, told }) => {
      expect(await up(config)).toMatchObject({ exitCode: 2, ...told });
    });

    test("a data folder that a living process holds", async () => {
      const dataDir = join(at().stack.folder, "data");
      const before = await at().stored();

      const refused = await up(`storage: {data_dir: ${dataDir}}\n`);

      expect(refused).toMatchObject({ exitCode: 1, reason: "DATA_FOLDER_LOCKED" });
      expect(refused.error).toContain(String(at().stack.process.pid));
      expect(await at().stored()).toBe(before);
    });

    test("a port that is taken", async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await new Promise((resolve) => server.once("listening", resolve));
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;

      const [gateway, web, world] = await freePorts(3);
      const others = `gateway: {port: ${gateway}, web_port: ${web}}\nworld_service: {port: ${world}}\n`;

      const refused = await up(`dag_manager: {port: ${port}}\n${others}`);

      expect(refused).toMatchObject({
        exitCode: 1,
        reason: "PORT_TAKEN",
        metadata: { port: String(port) },
      });
      await new Promise((resolve) => server.close(resolve));
    });

    test("a failpoint without test mode", async () => {
      const refused = await up("{}\n", { QMTL_FAILPOINT: "w.apply.after_commit" });

      expect(refused).toMatchObject({
        exitCode: 1,
        reason: "FAILPOINT_REFUSED",
        metadata: { failpoint: "w.apply.after_commit" },
      });
    });
  });
}
