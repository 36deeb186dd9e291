import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import { loadConfig, type QmtlConfig } from "@qmtl/sdk/config";
import { connectTo } from "@qmtl/sdk/rpc";
import { freePorts } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { madeGatewaySecret } from "./made-secret.ts";
import { startService } from "./start-service.ts";

const root = mkdtempSync(join(tmpdir(), "qmtl-service-"));
beforeAll(() => void vi.stubEnv("XDG_STATE_HOME", join(root, "state")));
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

let folders = 0;
function configOf(text: string): QmtlConfig {
  folders += 1;
  const path = join(root, `qmtl-${folders}.yml`);
  writeFileSync(path, `telemetry: {log_level: silent}\n${text}\n`);
  return loadConfig({ path, env: {} });
}

describe("a service in a process of its own", () => {
  it("starts with nothing set, in a folder of its own, and streams its events", async () => {
    const [port] = await freePorts(1);
    const config = configOf(`world_service: {port: ${port}}`);
    const service = await startService("world-service", config);
    onTestFinished(() => service.stop());
    await using connection = connectTo(service.address);
    const { capabilities } = await connection.client(SystemService).getCapabilities({});
    const contracts = capabilities?.contracts.map(({ contract }) => contract);
    expect(contracts).toContain("qmtl.system.v1.OutboxService");
    expect(existsSync(join(root, ".qmtl/data-world-service/pgdata"))).toBe(true);
    await expect(startService("world-service", config)).rejects.toMatchObject({
      reason: "DATA_FOLDER_LOCKED",
    });
  });

  it("is refused where a port is taken, the one of the metrics, too, naming its key", async () => {
    const [gateway = 0, web = 0] = await freePorts(2);
    const taken = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => taken.once("listening", resolve));
    onTestFinished(() => void taken.close());
    const address = taken.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const servers = `gateway: {port: ${gateway}, web_port: ${web}}`;
    const cases = [
      ["telemetry.metrics_port", `${servers}\ntelemetry: {metrics_port: ${port}}`],
      ["gateway.port", `gateway: {port: ${port}, web_port: ${web}}`],
      ["gateway.web_port", `gateway: {port: ${gateway}, web_port: ${port}}`],
    ] as const;
    for (const [key, text] of cases) {
      const path = join(root, `taken-${key}.yml`);
      writeFileSync(path, `storage: {data_dir: data-${key}}\n${text}\n`);
      await expect(startService("gateway", loadConfig({ path, env: {} }))).rejects.toMatchObject({
        reason: "PORT_TAKEN",
        metadata: { key, port: String(port) },
      });
    }
  });

  it.each<[string, string, string]>([
    ["Kafka without PostgreSQL", 'bus: {kind: kafka, brokers: ["h:1"]}', "storage.kind"],
    ["PostgreSQL without a bus", "storage: {kind: postgres, dsn: {env: D}}", "bus.kind"],
    [
      "a peer on another machine without a secret of one's own",
      'gateway: {dag_manager_url: "http://10.0.0.1:7410"}',
      "security.gateways",
    ],
    [
      "secrets of other gateways only",
      "security: {gateways: {gateway-2: {secret: {env: S}}}}",
      "security.gateways.gateway-1",
    ],
  ])("is refused with %s, naming the key", async (_, text, field) => {
    await expect(startService("gateway", configOf(text))).rejects.toMatchObject({
      reason: "CONFIG_INVALID",
      fields: [{ field }],
      message: expect.stringContaining("qmtl up"),
    });
  });

  it("is refused on an address of other machines without a secret of one's own", async () => {
    const text = `world_service: {host: 0.0.0.0}
security:
  tls: {cert: c, key: k}
  keys: {a: {principal: p, role: owner, secret: {env: K}}}`;
    await expect(startService("world-service", configOf(text))).rejects.toMatchObject({
      reason: "CONFIG_INVALID",
      fields: [{ field: "security.gateways" }],
    });
  });

  it("is refused while others can read the secret the services share", async () => {
    madeGatewaySecret();
    const file = join(root, "state/qmtl/gateway-secret");
    chmodSync(file, 0o644);
    onTestFinished(() => chmodSync(file, 0o600));
    await expect(startService("dag-manager", configOf(""))).rejects.toMatchObject({
      reason: "CONFIG_INVALID",
      message: expect.stringContaining("chmod 600"),
    });
  });
});
