import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import { loadConfig } from "@qmtl/sdk/config";
import { ChannelTransport, connectTo } from "@qmtl/sdk/rpc";
import {
  type LogFields,
  type Logger,
  openGrpcServer,
  silentLogger,
  systemClock,
} from "@qmtl/service-kit";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import { openPostgres } from "@qmtl/service-kit/db";
import { describePostgres, freePorts } from "@qmtl/service-kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { OutageDb } from "../orders/testing/outage-db.ts";
import { takeAccounts } from "./account-lease-store.ts";
import { createLeasedGateway, type LeasedGateway } from "./leased-gateway.ts";

const gatewayKey = { gatewayId: "gateway-1", secret: new Uint8Array(32).fill(7) };
const accountConfig = (main: object) =>
  loadConfig({ cwd: "/", env: { QMTL__ACCOUNTS: JSON.stringify({ main }) } });

/**
 * A gateway with its own database connections and no peers: like another process, except that it shares this one's
 * memory.
 */
async function openGateway(
  dsn: string,
  standby: boolean,
  config = accountConfig({}),
  logger: Logger = silentLogger,
) {
  const opened = new AsyncDisposableStack();
  onTestFinished(() => opened.disposeAsync());
  const open = async (schema: string) =>
    opened.use(await openPostgres({ dsn, schema, connectionsMax: 4 }));
  const db = new OutageDb(await open("gateway"));
  const bus = await openEmbeddedBus({ db: await open("bus"), pollMs: 50 });
  opened.defer(() => bus.close());
  const [dag, world] = await freePorts(2);
  const gateway = await createLeasedGateway({
    ...{ db, paperDb: await open("paper"), bus, config, gatewayKey, standby },
    clock: systemClock,
    logger,
    peers: {
      dagManagerUrl: `http://127.0.0.1:${dag}`,
      worldServiceUrl: `http://127.0.0.1:${world}`,
    },
  });
  opened.defer(() => gateway.stop());
  const { services, checkTicket, leading } = gateway;
  const server = opened.use(
    await openGrpcServer({ services, checkTicket, health: leading!.healthOf(services) }),
  );
  const url = `http://127.0.0.1:${server.port}`;
  const connection = opened.use(connectTo(url, { repeatableMethods: [] }));
  const channel = new ChannelTransport(url);
  opened.defer(async () => channel.close());
  return { db, gateway, connection, health: () => channel.health(20_000) };
}

/** Resolves when the gateway leads, or leads no more. */
function until(gateway: LeasedGateway, isLeading: boolean): Promise<void> {
  const leading = gateway.leading!;
  return new Promise((resolve) => {
    const look = () => leading.isLeading === isLeading && resolve();
    leading.onChange(look);
    look();
  });
}

const haltAll = {
  target: { target: { case: "everything" as const, value: {} } },
  reason: "db down",
};

describePostgres("two gateways on one account", (server) => {
  test("the second is refused at start, naming the first", async () => {
    const dsn = await server().createDatabase();
    const first = await openGateway(dsn, false);
    await first.gateway.start();
    const second = await openGateway(dsn, false);

    await expect(second.gateway.start()).rejects.toMatchObject({
      reason: "NOT_LEADER",
      metadata: { account_id: "main", gateway_id: "gateway-1", pid: String(process.pid) },
    });
    expect(await first.health()).toBe("serving");
  }, 60_000);

  test("a standby refuses every call but what it is, and takes over when the first gives up", async () => {
    const dsn = await server().createDatabase();
    const first = await openGateway(dsn, false);
    await first.gateway.start();
    const second = await openGateway(dsn, true);
    await second.gateway.start();
    const ask = () => second.connection.client(GatewayService).listEvents({});
    expect(await second.health()).toBe("not serving");
    await expect(ask()).rejects.toMatchObject({ reason: "NOT_LEADER", code: 14 });
    const { capabilities } = await second.connection.client(SystemService).getCapabilities({});
    expect(capabilities?.serverVersion).not.toBe("");

    await first.gateway.stop();
    await until(second.gateway, true);

    expect(await second.health()).toBe("serving");
    await expect(ask()).resolves.toBeDefined();
  }, 60_000);

  test("a gateway that was deposed ends for good, or stands by and comes back", async () => {
    const dsn = await server().createDatabase();
    const taker = { holder: "x", gatewayId: "gateway-2", host: "h", pid: 1, startTimeMs: 0 };
    const depose = (leaseMs: number, at: typeof first) =>
      takeAccounts(at.db, ["main"], taker, { leaseMs, force: true });
    const first = await openGateway(dsn, false);
    await first.gateway.start();
    await depose(0, first);
    expect(await first.gateway.lost).toMatchObject({ metadata: { gateway_id: "gateway-2" } });
    expect(await first.health()).toBe("not serving");

    const second = await openGateway(dsn, true);
    await second.gateway.start();
    const lost = until(second.gateway, false);
    await depose(300, second);
    await lost;
    await until(second.gateway, true);

    expect(await second.health()).toBe("serving");
  }, 60_000);

  test("a halt that a gateway cut off from its database took is in force in the one that takes over, and is carried out", async () => {
    const dsn = await server().createDatabase();
    const first = await openGateway(dsn, true);
    await first.gateway.start();
    const second = await openGateway(dsn, true);
    await second.gateway.start();
    const at = (one: typeof first) => one.connection.client(OrderService);
    first.db.isDown = true;
    const { halt } = await at(first).halt(haltAll);
    expect(halt?.stored).toBe(false);
    await until(second.gateway, true);
    const lost = until(first.gateway, false);

    first.db.isDown = false;
    await lost;

    const inForce = async () => (await at(second).listHalts({})).halts.map(({ haltId }) => haltId);
    await expect.poll(inForce, { timeout: 10_000 }).toEqual([halt?.haltId]);
    await at(second).resume({ which: { case: "haltId", value: halt!.haltId }, reason: "up" });
    expect(await inForce()).toEqual([]);
  }, 60_000);

  test("a standby whose configuration contradicts the books is refused when it starts, not when it is needed", async () => {
    const dsn = await server().createDatabase();
    const first = await openGateway(dsn, false);
    await first.gateway.start();
    const other = accountConfig({ initial_cash: "7" });
    const second = await openGateway(dsn, true, other);

    await expect(second.gateway.start()).rejects.toMatchObject({
      reason: "CONFIG_INVALID",
      message: expect.stringMatching(
        /^accounts\.main\.initial_cash is 7, and the books of account/,
      ),
    });
  }, 60_000);

  test("a standby with other settings than the gateway that leads names their keys", async () => {
    const dsn = await server().createDatabase();
    const first = await openGateway(dsn, false);
    await first.gateway.start();
    const warned: unknown[] = [];
    const logger = { ...silentLogger, warn: (_: string, at?: LogFields) => warned.push(at?.keys) };
    const second = await openGateway(dsn, true, accountConfig({ fee_bps: 9 }), logger);
    await second.gateway.start();

    await expect.poll(() => warned).toEqual([["accounts.main.fee_bps"]]);
  }, 60_000);
});
