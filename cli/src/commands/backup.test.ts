import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPlatform } from "@qmtl/embedded";
import { loadConfig } from "@qmtl/sdk/config";
import { describePostgres, freePorts } from "@qmtl/service-kit/testing";
import { afterAll, describe, expect, test, vi } from "vitest";
import { runInProcess } from "./testing/run-in-process.ts";

const folder = mkdtempSync(join(tmpdir(), "qmtl-cli-backup-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
const config = at("qmtl.yml");
const qmtl = (...args: readonly string[]) => runInProcess("--config", config, "--json", ...args);

describe("backup and restore refuse, with what to do next", () => {
  const nothingYet = [
    { args: ["backup"], exitCode: 2, hint: undefined },
    { args: ["backup", "--out", "a", "--verify", "b"], exitCode: 2, hint: undefined },
    { args: ["backup", "--out", at("new.tgz")], exitCode: 1, hint: "config explain storage" },
    { args: ["backup", "--verify", at("none.tgz")], exitCode: 2, hint: "can be read and written" },
    { args: ["backup", "--out", config], exitCode: 2, hint: "--force" },
    { args: ["backup", "--verify", config], exitCode: 2, hint: "older backup" },
    { args: ["restore", config, "--verify"], exitCode: 2, hint: "older backup" },
    { args: ["restore", config], exitCode: 2, hint: "older backup" },
  ];
  test.each(nothingYet)("qmtl $args ends with $exitCode", async ({ args, exitCode, hint }) => {
    writeFileSync(config, `storage: {data_dir: ${at("data")}}\n`);
    const text = readFileSync(config, "utf8");

    const answer = await qmtl(...args);

    expect({ exitCode: answer.exitCode, out: answer.out }).toEqual({ exitCode, out: [] });
    const { error, hint: told } = JSON.parse(answer.err[0]!);
    expect(error).not.toBe("");
    if (hint !== undefined) expect(told).toContain(hint);
    expect(readFileSync(config, "utf8")).toBe(text);
    expect([existsSync(at("data")), existsSync(at("new.tgz"))]).toEqual([false, false]);
  });
});

describePostgres("backup and restore", (server) => {
  test("a platform is backed up while it runs, and restored into another database", async () => {
    const [gateway, web, dag, world] = await freePorts(4);
    const text = `gateway: {port: ${gateway}, web_port: ${web}}
dag_manager: {port: ${dag}}
world_service: {port: ${world}}
sdk: {gateway_url: "http://127.0.0.1:${gateway}"}
storage: {kind: postgres, dsn: {env: QMTL_CLI_BACKUP_DSN}}
telemetry: {log_level: silent}
`;
    writeFileSync(config, text);
    vi.stubEnv("QMTL_CLI_BACKUP_DSN", await server().createDatabase());
    const file = at("live.tgz");
    const platform = await startPlatform(loadConfig({ path: config }));
    try {
      expect((await qmtl("world", "create", "demo")).err).toEqual([]);
      const taken = await qmtl("backup", "--out", file);
      expect(taken.err).toEqual([]);
      expect(JSON.parse(taken.out[0]!)).toMatchObject({
        file,
        product_version: "0.1.0",
        storage: "postgres",
        has_config: true,
      });
      const running = await qmtl("restore", file);
      expect(running.exitCode).toBe(1);
      expect(JSON.parse(running.err[0]!)).toMatchObject({
        reason: "STORE_IN_USE",
        hint: expect.stringContaining("stop"),
      });
    } finally {
      await platform.stop();
    }
    const used = await qmtl("restore", file);
    expect(JSON.parse(used.err[0]!)).toMatchObject({ reason: "STORE_NOT_EMPTY" });
    const verified = await qmtl("backup", "--verify", file);
    expect(JSON.parse(verified.out[0]!)).toMatchObject({ verified: true });

    vi.stubEnv("QMTL_CLI_BACKUP_DSN", await server().createDatabase());
    const restored = await runInProcess("--config", config, "restore", file, "--reason", "moved");

    expect({ exitCode: restored.exitCode, err: restored.err }).toEqual({ exitCode: 0, err: [] });
    expect(restored.out.join("\n")).toContain("world demo is held: manual");
    expect(restored.out.at(-1)).toBe("  4. qmtl world resume demo --hold manual --reason WHY");
    vi.unstubAllEnvs();
  }, 60_000);
});
