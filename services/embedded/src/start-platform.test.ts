import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { loadConfig } from "@qmtl/sdk/config";
import { connectTo } from "@qmtl/sdk/rpc";
import { readHealth } from "@qmtl/service-kit";
import { freePorts } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Platform, startPlatform } from "./start-platform.ts";

const cert = fileURLToPath(new URL("../fixtures/test-only-cert.pem", import.meta.url));
const keyOfTest = fileURLToPath(new URL("../fixtures/test-only-key.pem", import.meta.url));
const secret = "a-key-of-the-test-only";

/** The private key as it should be stored: readable by its owner alone. */
function keyIn(folder: string): string {
  const file = join(folder, "key.pem");
  copyFileSync(keyOfTest, file);
  chmodSync(file, 0o600);
  return file;
}

function configIn(folder: string, more = "", metricsPort: number | null = null): string {
  const file = join(folder, "qmtl.yml");
  const key = keyIn(folder);
  writeFileSync(join(folder, "secret"), secret, { mode: 0o600 });
  writeFileSync(
    file,
    `project: {name: servers}
storage: {kind: embedded, data_dir: data}
bus: {kind: embedded}
telemetry: {log_level: error, metrics_port: ${metricsPort}}
security:
  tls: {cert: ${cert}, key: ${key}}
  keys: {ops: {principal: ops, role: operator, secret: {file: secret}}}
${more}`,
  );
  return file;
}

describe("a platform with a certificate and keys", () => {
  const folder = mkdtempSync(join(tmpdir(), "qmtl-servers-"));
  let platform: Platform;

  beforeAll(async () => {
    const [gateway, web, dag, world, metrics] = await freePorts(5);
    const ports = `gateway: {port: ${gateway}, web_port: ${web}}
dag_manager: {port: ${dag}}
world_service: {port: ${world}}`;
    platform = await startPlatform(loadConfig({ path: configIn(folder, ports, metrics) }));
  });
  afterAll(async () => {
    await platform?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it("answers a caller that trusts the certificate and shows its key", async () => {
    expect(platform.addresses.gateway).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const tls = { ca: readFileSync(cert) };
    await using connection = connectTo(platform.addresses.gateway, { tls, apiKey: secret });
    await expect(connection.client(WorldService).listWorlds({})).resolves.toMatchObject({
      worlds: [],
    });
  });

  it("goes on serving in every name of its health while everything is halted: a halt is no outage", async () => {
    const tls = { ca: readFileSync(cert) };
    await using connection = connectTo(platform.addresses.gateway, { tls, apiKey: secret });
    const before = await readHealth(connection, 5_000);
    expect([before.get(""), before.get(OrderService.typeName)]).toEqual([true, true]);
    const orders = connection.client(OrderService);
    const target = { target: { case: "everything", value: {} } } as const;

    await orders.halt({ target, reason: "to see health" });

    expect(await readHealth(connection, 5_000)).toEqual(before);
    await orders.resume({ which: { case: "target", value: target }, reason: "seen" });
  });

  it("serves its metrics as Prometheus text, those of the process among them", async () => {
    const answer = await fetch(platform.addresses.metrics ?? "");
    const text = await answer.text();
    expect(text).toMatch(/^worlds_stale_responses_total 0$/m);
    expect(text).toMatch(/^process_resident_memory_bytes \d+/m);
  });

  it("refuses a caller without a key", async () => {
    const tls = { ca: readFileSync(cert) };
    await using connection = connectTo(platform.addresses.gateway, { tls });
    await expect(connection.client(WorldService).listWorlds({})).rejects.toMatchObject({
      reason: "PRINCIPAL_UNKNOWN",
    });
  });

  it("talks to nobody in plain text", async () => {
    await using connection = connectTo(platform.addresses.gateway.replace("https:", "http:"), {
      apiKey: secret,
      timeoutMs: 2_000,
    });
    await expect(connection.client(WorldService).listWorlds({})).rejects.toThrow();
  });
});

describe("a platform that cannot be started safely", () => {
  const folder = mkdtempSync(join(tmpdir(), "qmtl-servers-"));
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
    writeFileSync(join(folder, "secret"), "two words and more");
    await expect(startPlatform(config)).rejects.toMatchObject({
      reason: "CONFIG_INVALID",
      fields: [{ field: "security.keys.ops.secret" }],
    });
  });

  it("is refused when a key is so short that it could be guessed", async () => {
    const config = loadConfig({ path: configIn(folder) });
    writeFileSync(join(folder, "secret"), "fifteen-letters");
    await expect(startPlatform(config)).rejects.toMatchObject({
      reason: "SECRET_TOO_SHORT",
      issues: [{ path: "security.keys.ops.secret" }],
    });
  });

  it("is refused when everybody can read the secret or the private key", async () => {
    const config = loadConfig({ path: configIn(folder) });
    chmodSync(join(folder, "secret"), 0o644);
    await expect(startPlatform(config)).rejects.toMatchObject({
      reason: "SECRET_EXPOSED",
      issues: [{ path: "security.keys.ops.secret" }],
    });
    chmodSync(join(folder, "secret"), 0o600);
    chmodSync(join(folder, "key.pem"), 0o644);
    await expect(startPlatform(config)).rejects.toMatchObject({
      reason: "CONFIG_INVALID",
      fields: [{ field: "security.tls.key", description: expect.stringContaining("chmod 600") }],
    });
  });

  it("is refused when the certificate cannot be read", async () => {
    const config = loadConfig({ path: configIn(folder) });
    const tls = { cert: join(folder, "absent.pem"), key: keyIn(folder) };
    await expect(
      startPlatform({ ...config, security: { ...config.security, tls } }),
    ).rejects.toMatchObject({ reason: "CONFIG_INVALID", fields: [{ field: "security.tls.cert" }] });
  });
});

describe("a platform whose configuration was changed", () => {
  const folder = mkdtempSync(join(tmpdir(), "qmtl-changed-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("is refused with other money than its books count in, and starts with the former", async () => {
    const [gateway, web, dag, world] = await freePorts(4);
    const startWith = (cash: string): Promise<Platform> => {
      const more = `gateway: {port: ${gateway}, web_port: ${web}}
dag_manager: {port: ${dag}}
world_service: {port: ${world}}
accounts: {main: {initial_cash: "${cash}"}}`;
      return startPlatform(loadConfig({ path: configIn(folder, more) }));
    };
    await (await startWith("1000")).stop();

    await expect(startWith("2000")).rejects.toMatchObject({
      reason: "CONFIG_INVALID",
      fields: [
        {
          field: "accounts.main.initial_cash",
          description: expect.stringContaining("put 1000 back"),
        },
      ],
    });

    await (await startWith("1000.00")).stop();
  });
});

describe("a gateway's secret of the configuration", () => {
  it.each([
    ["is not there", undefined, 0o600],
    ["is shorter than 32 bytes", "short", 0o600],
    ["is readable by everybody", "x".repeat(40), 0o644],
  ])("that %s is refused by its key before anything starts", async (_, text, mode) => {
    const folder = mkdtempSync(join(tmpdir(), "qmtl-secret-"));
    const file = join(folder, "gateway-secret");
    if (text !== undefined) writeFileSync(file, text, { mode });
    const path = join(folder, "qmtl.yml");
    const security = `security: {gateways: {gateway-1: {secret: {file: ${file}}}}}`;
    writeFileSync(path, `project: {name: secret}\nstorage: {data_dir: data}\n${security}\n`);

    await expect(startPlatform(loadConfig({ path, env: {} }))).rejects.toThrow(
      "security.gateways.gateway-1.secret",
    );
    rmSync(folder, { recursive: true });
  });
});
