import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Duration, durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { loadConfig, type OnlineSession } from "@qmtl/sdk";
import type { Connection } from "@qmtl/sdk/rpc";
import { freePorts } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { waitFor } from "../crash/wait-for.ts";
import { type Stack, startStack } from "../harness/start-stack.ts";
import { baseFile, dateOf, historyRows } from "./data-lanes.ts";
import { PaperLanes } from "./paper-lane.ts";

const origin = "http://localhost:5173";
/** Valid timers, each one different from its default. */
const timers = {
  lease_ms: 9_000,
  renew_ms: 1_500,
  margin_ms: 900,
  emit_max_ms: 250,
  freeze_timeout_ms: 31_000,
  switch_ack_ms: 4_900,
  session_dead_ms: 3_900,
};

/** Timers of a node lease, each one different from its default. */
const nodeLease = { node_lease_ms: 9_000, node_renew_ms: 2_500, node_margin_ms: 900 };
const lane = { name: "w", source: "day", instrument: "X", account: "main" };

const ms = (duration: Duration | undefined): number => (duration ? durationMs(duration) : 0);

describe("a key of the platform", () => {
  let stack: Stack;
  let connection: Connection;
  let run: OnlineSession;
  let metricsPort = 0;

  beforeAll(async () => {
    [metricsPort = 0] = await freePorts(1);
    const nodeTimers = Object.entries(nodeLease).map(([key, ms]) => [
      `QMTL__DAG_MANAGER__${key.toUpperCase()}`,
      String(ms),
    ]);
    stack = await startStack({
      config: [
        `sources: {day: {file: day.csv, start: ${dateOf(historyRows)}, until: start}}`,
        "instruments: {X: {mark_source: day}}",
        "accounts: {main: {instruments: [X], reconcile_interval_ms: 1000}}",
      ].join("\n"),
      env: {
        ...Object.fromEntries(nodeTimers),
        QMTL__GATEWAY__TICKET_TTL_SECONDS: "77",
        QMTL__GATEWAY__WEB_ORIGINS: `["${origin}"]`,
        QMTL__GATEWAY__ENFORCE_LIVE_GUARD: "false",
        QMTL__WORLD_SERVICE__DEFAULT_LEASE: JSON.stringify(timers),
        QMTL__TELEMETRY__METRICS_PORT: String(metricsPort),
      },
    });
    await writeFile(join(stack.folder, "day.csv"), `${baseFile.join("\n")}\n`);
    connection = stack.connect();
    const config = loadConfig({ path: stack.configFile });
    run = await new PaperLanes(connection, config, stack.gatewayUrl).start(lane);
  }, 120_000);
  afterAll(async () => {
    await run?.stop();
    connection?.close();
    await stack?.[Symbol.asyncDispose]();
  });

  test("gateway.ticket_ttl_seconds is the lifetime of a ticket", async () => {
    const asked = performance.timeOrigin + performance.now();
    const ticket = { worldId: "w", rights: [TicketRight.OBSERVE] };
    const { expireTime } = await connection.client(ControlStreamService).issueTicket(ticket);

    const seconds = (timestampMs(expireTime!) - asked) / 1_000;
    expect(seconds).toBeGreaterThan(75);
    expect(seconds).toBeLessThan(80);
  });

  test("world_service.default_lease.* are the timers of a new world", async () => {
    const { world } = await connection.client(WorldService).getWorld({ worldId: "w" });
    const given = world!.paperTimers!;
    expect({
      lease_ms: ms(given.lease),
      renew_ms: ms(given.renewInterval),
      margin_ms: ms(given.margin),
      emit_max_ms: ms(given.emitMax),
      freeze_timeout_ms: ms(given.freezeTimeout),
      switch_ack_ms: ms(given.switchAck),
      session_dead_ms: ms(given.sessionDead),
    }).toEqual(timers);
  });

  test("dag_manager.node_lease_ms, node_renew_ms and node_margin_ms are the timers of a node lease", async () => {
    const ask = { worldId: "w", sources: ["day"], rights: [TicketRight.FEED] };
    const { ticket } = await connection.client(ControlStreamService).issueTicket(ask);
    const queues = connection.client(QueueService);
    const { queues: all } = await queues.listQueueStats({});
    const feed = all.find(({ queue }) => queue?.source === "day")?.queue;
    await run.stop();

    const keys = [{ computeKey: feed?.computeKey ?? "", build: "another", upstreamsLocal: true }];
    const { leases } = await queues.acquireLeases({ ticket, keys });

    const [given] = leases;
    expect([ms(given?.lease), ms(given?.renewInterval), ms(given?.margin)]).toEqual(
      Object.values(nodeLease),
    );
  });

  test("accounts.*.reconcile_interval_ms is the time between comparisons with the broker", async () => {
    const accounts = connection.client(AccountService);
    const compared = async (): Promise<number> => {
      const { account } = await accounts.getAccount({ accountId: "main" });
      return account?.reconcileTime === undefined ? 0 : timestampMs(account.reconcileTime);
    };
    const before = await compared();

    const next = await waitFor(
      "another comparison",
      async () => {
        const at = await compared();
        return at > before ? at : undefined;
      },
      { timeoutMs: 20_000 },
    );

    expect(next - before).toBeGreaterThanOrEqual(1_000);
  });

  test("without gateway.enforce_live_guard an apply to live is not asked for its consent, and its world is", async () => {
    const ask = { worldId: "w", runId: "live", targetMode: EffectiveMode.LIVE, reason: "a try" };
    const apply = async (): Promise<void> => {
      for await (const _ of connection.client(ActivationService).apply(ask));
    };

    await expect(apply()).rejects.toThrow("live needs the world's allow_live");
  });

  test("gateway.web_origins lets that page call, and no other", async () => {
    const allowed = await preflight(origin);
    const other = await preflight("http://localhost:9");

    expect(allowed.headers.get("access-control-allow-origin")).toBe(origin);
    expect(other.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("telemetry.metrics_port serves the metrics", async () => {
    const page = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();

    expect(page).toContain("# TYPE");
  });

  test("storage.data_dir holds the database", () => {
    expect(existsSync(join(stack.folder, "data"))).toBe(true);
  });

  async function preflight(from: string): Promise<Response> {
    const config = await readFile(stack.configFile, "utf8");
    const web = /web_port: (\d+)/.exec(config)?.[1];
    return fetch(`http://127.0.0.1:${web}/qmtl.world.v1.WorldService/ListWorlds`, {
      method: "OPTIONS",
      headers: {
        origin: from,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
      },
    });
  }
});
