import { Code } from "@connectrpc/connect";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ChannelTransport, connectTo } from "@qmtl/sdk/rpc";
import { expect, onTestFinished, test } from "vitest";
import { openGrpcServer } from "../grpc-server.ts";
import { serve } from "../handlers.ts";
import { createLogger } from "../logger.ts";
import { createMetrics } from "../metrics.ts";
import { readHealth } from "../rpc/read-health.ts";
import {
  joinedHealth,
  LEADER_HEALTH,
  LeadershipMonitor,
  leaderUnknown,
} from "./leadership-monitor.ts";

function monitor() {
  const lines: string[] = [];
  const levels: string[] = [];
  const write = (line: string) => {
    const { message, level } = JSON.parse(line);
    lines.push(message);
    levels.push(level);
  };
  const logger = createLogger({ name: "test", destination: { write } });
  const metrics = createMetrics();
  const leading = new LeadershipMonitor({ part: "dag-manager", logger, metrics });
  return { leading, lines, levels, metrics };
}

test("a standby says so once in the log, however often it looks, and again only after it led", () => {
  const { leading, lines } = monitor();

  const standings = ["standby", "standby", "standby", "leads", "leads", "standby"] as const;
  for (const standing of standings) leading.set(standing);

  const standby = "standby: another process leads";
  expect(lines).toEqual([standby, "leads", standby]);
});

test("a process that is deposed says so at warn, also when it did not know who leads in between", () => {
  const { leading, levels } = monitor();

  const standings = ["standby", "leads", "standby", "leads", "unsure", "standby"] as const;
  for (const standing of standings) leading.set(standing);

  expect(levels).toEqual(["info", "info", "warn", "info", "info", "warn"]);
});

test("the gauge is 1 for a standby and 0 for the process that leads", async () => {
  const { leading, metrics } = monitor();
  leading.set("standby");
  expect(await metrics.metricsText()).toContain('standby{part="dag-manager"} 1');

  leading.set("leads");
  expect(await metrics.metricsText()).toContain('standby{part="dag-manager"} 0');
});

test("a process whose database does not say who leads tells of no other leader: not in the log, the gauge or a refusal", async () => {
  const { leading, lines, metrics } = monitor();
  leading.set("leads");

  leading.set("unsure");

  expect(lines).toEqual(["leads", "does not act as leader: the database does not say who leads"]);
  expect(await metrics.metricsText()).toContain('standby{part="dag-manager"} 0');
  expect(leading.isLeading).toBe(false);
  expect(leaderUnknown("the DAG Manager")).toMatchObject({
    reason: "STORE_UNAVAILABLE",
    code: Code.Unavailable,
    retryAfterMs: expect.any(Number),
  });
});

test("the empty name of health serves while the process lives, whoever leads; the contracts do not on a standby", async () => {
  const { leading } = monitor();
  const services = [serve(GatewayService, {})];
  const server = await openGrpcServer({ services, health: leading.healthOf(services) });
  const connection = connectTo(`http://127.0.0.1:${server.port}`);
  onTestFinished(async () => {
    connection.close();
    await server.close();
  });
  const namesThatServe = async () => {
    const health = await readHealth(connection, 5_000);
    return [...health].filter(([, serves]) => serves).map(([name]) => name);
  };

  for (const standing of ["standby", "unsure"] as const) {
    leading.set(standing);
    expect(await namesThatServe()).toEqual([""]);
  }
  leading.set("leads");

  expect((await namesThatServe()).sort()).toEqual(["", LEADER_HEALTH, GatewayService.typeName]);
});

test("a server that stands by answers health with NOT_SERVING until it leads", async () => {
  const { leading } = monitor();
  const services = [serve(GatewayService, {})];
  const server = await openGrpcServer({ services, health: leading.healthOf(services) });
  const channel = new ChannelTransport(`http://127.0.0.1:${server.port}`);
  onTestFinished(async () => {
    channel.close();
    await server.close();
  });
  leading.set("standby");
  expect(await channel.health(5_000)).toBe("not serving");

  leading.set("leads");
  expect(await channel.health(5_000)).toBe("serving");

  await server.close();
  expect(await channel.health(5_000)).toBe("down");
});

test("of several sources of health a name serves where all of them say so", () => {
  const source = (states: Record<string, boolean>) => ({
    states: () => new Map(Object.entries(states)),
    onChange: () => () => {},
  });
  const joined = joinedHealth([source({ "": true, a: false }), source({ "": false, b: true })]);

  expect(Object.fromEntries(joined.states())).toEqual({ "": false, a: false, b: true });
});
