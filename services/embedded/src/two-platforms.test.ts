import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { loadConfig, type QmtlConfig } from "@qmtl/sdk/config";
import { connectTo } from "@qmtl/sdk/rpc";
import { describePostgres, freePorts } from "@qmtl/service-kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { type Platform, startPlatform } from "./start-platform.ts";

/** A platform of one process over a database server, on ports of its own. */
async function configOf(dsn: string): Promise<QmtlConfig> {
  const folder = mkdtempSync(join(tmpdir(), "qmtl-two-platforms-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [gateway, web, dag, world] = await freePorts(4);
  writeFileSync(join(folder, "dsn"), dsn, { mode: 0o600 });
  const lines = [
    `gateway: {port: ${gateway}, web_port: ${web}}`,
    `dag_manager: {port: ${dag}}`,
    `world_service: {port: ${world}}`,
    "accounts: {main: {}}",
    "storage: {kind: postgres, dsn: {file: dsn}}",
    "bus: {kind: embedded}",
    "telemetry: {log_level: error}",
  ];
  const path = join(folder, "qmtl.yml");
  writeFileSync(path, `${lines.join("\n")}\n`);
  return loadConfig({ path, env: {} });
}

function untilTestEnds(platform: Platform): Platform {
  onTestFinished(() => platform.stop());
  return platform;
}

describePostgres("two platforms over one server", (server) => {
  test("the second is refused with the name of the gateway that holds the account, or waits and takes over", async () => {
    const dsn = await server().createDatabase();
    const first = untilTestEnds(await startPlatform(await configOf(dsn)));

    await expect(startPlatform(await configOf(dsn))).rejects.toMatchObject({
      reason: "NOT_LEADER",
      metadata: { account_id: "main", pid: String(process.pid) },
    });
    let whileWaiting = "";
    const second = startPlatform(await configOf(dsn), {
      standby: true,
      onWaiting: ({ message }) => {
        whileWaiting = message;
        void first.stop();
      },
    }).then(untilTestEnds);

    const { gateway } = (await second).addresses;
    expect(whileWaiting).toContain(`process ${process.pid}`);
    await using connection = connectTo(gateway);
    const { worlds } = await connection.client(WorldService).listWorlds({});
    expect(worlds).toEqual([]);
  }, 120_000);
});

test("a platform over a data folder cannot stand by: the folder belongs to one process", async () => {
  const config = loadConfig({ cwd: "/", env: {} });

  await expect(startPlatform(config, { standby: true })).rejects.toMatchObject({
    reason: "CONFIG_INVALID",
    fields: [{ field: "storage.kind" }],
  });
});
