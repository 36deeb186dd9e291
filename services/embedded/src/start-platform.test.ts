import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { loadConfig } from "@qmtl/sdk/config";
import { connectTo } from "@qmtl/sdk/rpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Platform, startPlatform } from "./start-platform.ts";

const cert = fileURLToPath(new URL("../fixtures/test-only-cert.pem", import.meta.url));
const key = fileURLToPath(new URL("../fixtures/test-only-key.pem", import.meta.url));
const secret = "a-key-of-the-test-only";

function configIn(folder: string, more = ""): string {
  const file = join(folder, "qmtl.yml");
  writeFileSync(join(folder, "secret"), secret);
  writeFileSync(
    file,
    `project: {name: doors}
storage: {kind: embedded, data_dir: data}
bus: {kind: embedded}
telemetry: {log_level: error}
security:
  tls: {cert: ${cert}, key: ${key}}
  keys: {ops: {principal: ops, role: operator, secret: {file: secret}}}
${more}`,
  );
  return file;
}

describe("a platform with a certificate and keys", () => {
  const folder = mkdtempSync(join(tmpdir(), "qmtl-doors-"));
  let platform: Platform;

  beforeAll(async () => {
    const ports =
      "gateway: {port: 7460, web_port: 7461, dag_manager_url: 'http://127.0.0.1:7462', world_service_url: 'http://127.0.0.1:7463'}\ndag_manager: {port: 7462}\nworld_service: {port: 7463}";
    platform = await startPlatform(loadConfig({ path: configIn(folder, ports) }));
  });
  afterAll(async () => {
    await platform?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it("answers a caller that trusts the certificate and shows its key", async () => {
    expect(platform.addresses.gateway).toBe("https://127.0.0.1:7460");
    const tls = { ca: readFileSync(cert) };
    await using connection = connectTo(platform.addresses.gateway, { tls, apiKey: secret });
    await expect(connection.client(WorldService).listWorlds({})).resolves.toMatchObject({
      worlds: [],
    });
  });

  it("refuses a caller without a key", async () => {
    const tls = { ca: readFileSync(cert) };
    await using connection = connectTo(platform.addresses.gateway, { tls });
    await expect(connection.client(WorldService).listWorlds({})).rejects.toMatchObject({
      reason: "PRINCIPAL_UNKNOWN",
    });
  });

  it("talks to nobody in plain text", async () => {
    await using connection = connectTo("http://127.0.0.1:7460", {
      apiKey: secret,
      timeoutMs: 2_000,
    });
    await expect(connection.client(WorldService).listWorlds({})).rejects.toThrow();
  });
});

describe("a platform that cannot be started safely", () => {
  const folder = mkdtempSync(join(tmpdir(), "qmtl-doors-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("is refused when a service behind the gateway would listen beyond loopback", async () => {
    const config = loadConfig({ path: configIn(folder, "dag_manager: {host: 0.0.0.0}") });
    await expect(startPlatform(config)).rejects.toMatchObject({
      reason: "CONFIG_INVALID",
      fields: [{ field: "dag_manager.host" }],
    });
  });

  it("is refused when a key could never be sent", async () => {
    const config = loadConfig({ path: configIn(folder) });
    writeFileSync(join(folder, "secret"), "two words");
    await expect(startPlatform(config)).rejects.toMatchObject({
      reason: "CONFIG_INVALID",
      fields: [{ field: "security.keys.ops.secret" }],
    });
  });

  it("is refused when the certificate cannot be read", async () => {
    const config = loadConfig({ path: configIn(folder) });
    const tls = { cert: join(folder, "absent.pem"), key };
    await expect(
      startPlatform({ ...config, security: { ...config.security, tls } }),
    ).rejects.toMatchObject({ reason: "CONFIG_INVALID", fields: [{ field: "security.tls.cert" }] });
  });
});
