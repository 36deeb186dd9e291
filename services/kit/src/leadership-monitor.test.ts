import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ChannelTransport } from "@qmtl/sdk/rpc";
import { expect, onTestFinished, test } from "vitest";
import { openGrpcDoor } from "./grpc-door.ts";
import { serve } from "./handlers.ts";
import { joinedHealth, LeadershipMonitor } from "./leadership-monitor.ts";
import { createLogger } from "./logger.ts";
import { createMetrics } from "./metrics.ts";

function monitor() {
  const lines: string[] = [];
  const write = (line: string) => lines.push(JSON.parse(line).message);
  const logger = createLogger({ name: "test", destination: { write } });
  const metrics = createMetrics();
  const leading = new LeadershipMonitor({ part: "dag-manager", logger, metrics });
  return { leading, lines, metrics };
}

test("a standby says so once in the log, however often it looks, and again only after it led", () => {
  const { leading, lines } = monitor();

  for (const isLeading of [false, false, false, true, true, false, false]) leading.set(isLeading);

  const standby = "standby: another process leads";
  expect(lines).toEqual([standby, "leads", standby]);
});

test("the gauge is 1 for a standby and 0 for the process that leads", async () => {
  const { leading, metrics } = monitor();
  expect(await metrics.metricsText()).toContain('standby{part="dag-manager"} 1');

  leading.set(true);
  expect(await metrics.metricsText()).toContain('standby{part="dag-manager"} 0');
});

test("a server that stands by answers health with NOT_SERVING until it leads", async () => {
  const { leading } = monitor();
  const services = [serve(GatewayService, {})];
  const door = await openGrpcDoor({ services, health: leading.healthOf(services) });
  const channel = new ChannelTransport(`http://127.0.0.1:${door.port}`);
  onTestFinished(async () => {
    channel.close();
    await door.close();
  });
  leading.set(false);
  expect(await channel.health(5_000)).toBe("not serving");

  leading.set(true);
  expect(await channel.health(5_000)).toBe("serving");

  await door.close();
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
