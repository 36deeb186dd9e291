import { loadConfig } from "@qmtl/sdk/config";
import { openGrpcServer } from "@qmtl/service-kit";
import { freePorts } from "@qmtl/service-kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { checkLeaders } from "./check-leaders.ts";

/** Starts a process that leads or does not; gives its address. */
async function openProcess(isLeading: boolean, hasStore = true): Promise<string> {
  const states = new Map([
    ["leader", isLeading],
    ["store/postgres", hasStore],
  ]);
  const health = { states: () => states, onChange: () => () => {} };
  const server = await openGrpcServer({ services: [], health });
  onTestFinished(() => server.close());
  return `http://127.0.0.1:${server.port}`;
}

function configOf(urls: Record<"gateway" | "dag" | "world", readonly string[]>) {
  const list = (own: readonly string[]) => `[${own.join(", ")}]`;
  return loadConfig({
    cwd: "/",
    env: {
      QMTL__STORAGE: "{kind: postgres, dsn: {env: DSN}}",
      QMTL__SDK__GATEWAY_URL: list(urls.gateway),
      QMTL__GATEWAY__DAG_MANAGER_URL: list(urls.dag),
      QMTL__GATEWAY__WORLD_SERVICE_URL: list(urls.world),
    },
  });
}

test("each address of a service is shown as the leader, a standby, or one that does not answer", async () => {
  const [leader, standby] = [await openProcess(true), await openProcess(false)];
  const [port] = await freePorts(1);
  const nobody = `http://127.0.0.1:${port}`;
  const config = configOf({ gateway: [leader], dag: [standby, leader], world: [standby, nobody] });

  const checks = await checkLeaders(config);

  expect(checks.map(({ name, status, detail }) => [name, status, detail])).toEqual([
    ["gateway instances", "ok", `${leader} leads`],
    ["DAG Manager instances", "ok", `${standby} standby; ${leader} leads`],
    ["WorldService instances", "warning", `${standby} standby; ${nobody} does not answer`],
  ]);
  expect(checks[2]?.fix).toContain("gateway.world_service_url");
});

test("an address of several that does not answer is lost redundancy: a warning, although another one leads", async () => {
  const leader = await openProcess(true);
  const [port] = await freePorts(1);
  const gone = `http://127.0.0.1:${port}`;
  const config = configOf({ gateway: [gone, leader], dag: [leader], world: [leader] });

  const [gateway, dag] = await checkLeaders(config);

  expect(gateway).toMatchObject({
    status: "warning",
    detail: `${gone} does not answer; ${leader} leads`,
    fix: expect.stringContaining("sdk.gateway_url"),
  });
  expect(dag).toMatchObject({ status: "ok" });
});

test("the only process, whose database is dead, is no standby of another: the database is to be started", async () => {
  const unsure = await openProcess(false, false);
  const config = configOf({ gateway: [unsure], dag: [unsure], world: [unsure] });

  const checks = await checkLeaders(config);

  for (const check of checks) {
    expect(check).toMatchObject({
      status: "warning",
      detail: `${unsure} does not know who leads: its store does not answer`,
      fix: expect.stringContaining("start the database"),
    });
  }
});

test("one process over a data folder has no instances to tell of", async () => {
  expect(await checkLeaders(loadConfig({ cwd: "/", env: {} }))).toEqual([]);
});
