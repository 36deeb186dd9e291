import { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import { loadConfig } from "@qmtl/sdk/config";
import {
  createPrincipalCheck,
  type RunningService,
  runService,
  serve,
  silentLogger,
  systemClock,
} from "@qmtl/service-kit";
import { freePorts } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkGateway, checkServices } from "./check-services.ts";

const configAt = (port: number) =>
  loadConfig({ env: { QMTL__SDK__GATEWAY_URL: `http://127.0.0.1:${port}` } });

describe("a gateway with keys", () => {
  let gateway: RunningService;
  beforeAll(async () => {
    const keys = [{ key: "a-key-of-the-test", name: "ops", role: "operator" as const }];
    gateway = await runService({
      name: "gateway",
      services: [
        serve(SystemService, {
          getCapabilities: async () => ({ capabilities: { serverVersion: "9.9.9" } }),
        }),
      ],
      host: "127.0.0.1",
      port: 0,
      principalOf: createPrincipalCheck({ keys, clock: systemClock }),
      logger: silentLogger,
    });
  });
  afterAll(() => gateway?.stop());

  test("tells its version to a caller it knows", async () => {
    const check = await checkGateway(configAt(gateway.port), { apiKey: "a-key-of-the-test" });

    expect(check).toEqual({
      name: "gateway",
      status: "ok",
      detail: `http://127.0.0.1:${gateway.port} answers, version 9.9.9`,
      isThere: true,
    });
  });

  test("is there for a caller it does not know, who is told where the key goes", async () => {
    const check = await checkGateway(configAt(gateway.port), { apiKey: undefined });

    expect(check).toMatchObject({
      status: "warning",
      isThere: true,
      detail: expect.stringContaining("PRINCIPAL_UNKNOWN"),
      fix: expect.stringContaining("QMTL_API_KEY"),
    });
  });
});

test("services nobody has started are broken, each with the key of its address", async () => {
  const [gateway = 0, dag = 0, world = 0] = await freePorts(3);
  const distributed = loadConfig({
    env: {
      QMTL__SDK__GATEWAY_URL: `http://127.0.0.1:${gateway}`,
      QMTL__GATEWAY__DAG_MANAGER_URL: `http://127.0.0.1:${dag}`,
      QMTL__GATEWAY__WORLD_SERVICE_URL: `http://127.0.0.1:${world}`,
      QMTL__STORAGE: "{kind: postgres, dsn: {env: DSN}}",
    },
  });

  const services = await checkServices(distributed, { apiKey: undefined, timeoutMs: 2_000 });

  expect(services.map(({ name, status, isThere }) => [name, status, isThere])).toEqual([
    ["gateway", "error", false],
    ["dag-manager", "error", false],
    ["world-service", "error", false],
  ]);
  expect(services[0]?.detail).toBe(
    `http://127.0.0.1:${gateway} does not answer: connection refused`,
  );
  expect(services[1]?.fix).toContain("gateway.dag_manager_url");
});
