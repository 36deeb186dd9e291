import { hostname } from "node:os";
import { silentLogger, sleep, systemClock } from "@qmtl/service-kit";
import { type Db, openPostgres } from "@qmtl/service-kit/db";
import { describePostgres, openTestPglite } from "@qmtl/service-kit/testing";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { OutageDb } from "../orders/testing/outage-db.ts";
import {
  type GatewayProcess,
  migrateAccountLeases,
  readAccountHolders,
  takeAccounts,
} from "./account-lease-store.ts";
import { AccountLeases, accountHeld } from "./account-leases.ts";

const common = { clock: systemClock, logger: silentLogger, gatewayId: "gateway-1" };
/** Longer than any test takes. */
const longMs = 600_000;
const elsewhere: GatewayProcess = {
  ...{ holder: "elsewhere", gatewayId: "gateway-2", host: "other", pid: 7, startTimeMs: 0 },
};

async function open(db: Db, accountId: string, leaseMs = longMs): Promise<AccountLeases> {
  const options = { ...common, db, accountIds: [accountId], leaseMs, renewMs: 20 };
  const leases = await AccountLeases.open(options);
  onTestFinished(() => leases.stop());
  return leases;
}

describePostgres("the accounts of a gateway", (server) => {
  let db: Db;
  beforeAll(async () => {
    db = await openPostgres({ dsn: await server().createDatabase(), schema: "gateway" });
    await migrateAccountLeases(db);
    return () => db.close();
  });

  test("a gateway that lives keeps its accounts, and the next one is told who it is", async () => {
    const first = await open(db, "kept");
    expect(await first.take()).toBeUndefined();
    const second = await open(db, "kept");

    const holder = (await second.take())!;

    expect(holder).toMatchObject({ gatewayId: "gateway-1", host: hostname(), pid: process.pid });
    expect(second.isHeld).toBe(false);
    const { message, metadata } = accountHeld(holder);
    expect(message).toContain(`account kept is held by gateway-1: process ${process.pid} on`);
    expect(Date.parse(metadata.start_time!)).toBeLessThan(systemClock.nowMs());
  });

  test("accounts of a gateway that died are taken when their leases end", async () => {
    await takeAccounts(db, ["left"], elsewhere, { leaseMs: 250 });
    const next = await open(db, "left", 250);

    expect(await next.take()).toBeUndefined();

    expect(next.epochs).toEqual(new Map([["left", 2]]));
  });

  test("a standby takes over as soon as the accounts are given back", async () => {
    const first = await open(db, "given");
    await first.take();
    const second = await open(db, "given");
    const taking = second.takeWhenFree();

    await first.stop();

    expect(await taking).toBe(true);
    expect(second.isHeld).toBe(true);
  });

  test("a gateway that lives keeps its accounts over an outage longer than its lease, though a standby waits", async () => {
    const [own, others] = [new OutageDb(db), new OutageDb(db)];
    const first = await open(own, "outage", 400);
    await first.take();
    const second = await open(others, "outage", 400);
    const taking = second.takeWhenFree();

    own.isDown = true;
    others.isDown = true;
    await sleep(systemClock, 800);
    others.isDown = false;
    await sleep(systemClock, 150); // the standby is back first
    own.isDown = false;
    await sleep(systemClock, 600);

    expect([first.isHeld, second.isHeld]).toEqual([true, false]);
    await first.stop();
    expect(await taking).toBe(true);
  });

  test("a gateway that starts right after an outage does not take the accounts of one that lives", async () => {
    const own = new OutageDb(db);
    const first = await open(own, "restarted", 400);
    await first.take();
    own.isDown = true;
    await sleep(systemClock, 500);
    const second = await open(db, "restarted", 400);
    const taking = second.take();
    await sleep(systemClock, 150);

    own.isDown = false;

    expect(await taking).toMatchObject({ gatewayId: "gateway-1" });
    expect([first.isHeld, second.isHeld]).toEqual([true, false]);
  });

  test("a standby that is stopped takes nothing", async () => {
    const first = await open(db, "waited");
    await first.take();
    const second = await open(db, "waited");
    const taking = second.takeWhenFree();

    await second.stop();

    expect(await taking).toBe(false);
    expect(first.isHeld).toBe(true);
  });

  test("a gateway whose account was taken learns it, and does not give back what is another's", async () => {
    const first = await open(db, "taken");
    await first.take();

    await takeAccounts(db, ["taken"], elsewhere, { leaseMs: longMs, force: true });

    expect(await first.lost).toMatchObject({
      reason: "NOT_LEADER",
      metadata: { account_id: "taken", gateway_id: "gateway-2", host: "other", pid: "7" },
    });
    expect(first.isHeld).toBe(false);
    await first.stop();
    const [holder] = await readAccountHolders(db, ["taken"]);
    expect(holder?.holder).toBe("elsewhere");
    expect(holder?.remainingMs).toBeGreaterThan(longMs / 2);
  });

  test("the router writes nothing before the accounts are taken", async () => {
    const leases = await open(db, "later");
    const guarded = leases.guarded(db);
    const write = () => guarded.query("UPDATE gateway.account_lease SET host = 'x' WHERE false");

    await expect(write()).rejects.toMatchObject({ reason: "NOT_LEADER" });
    await leases.take();
    await expect(write()).resolves.toEqual([]);
  });

  test("a gateway without accounts takes none and meets nobody", async () => {
    const options = { ...common, db, accountIds: [] };
    const both = [await AccountLeases.open(options), await AccountLeases.open(options)];

    expect(await Promise.all(both.map((one) => one.take()))).toEqual([undefined, undefined]);
    expect(both.map((one) => one.guarded(db))).toEqual([db, db]);
  });
});

test("in a data folder, which one process has for itself, the accounts of a dead one are taken at once", async () => {
  const host = await openTestPglite();
  onTestFinished(() => host.close());
  const db = host.db("gateway");
  await migrateAccountLeases(db);
  await takeAccounts(db, ["main"], elsewhere, { leaseMs: longMs });
  const leases = await open(db, "main");

  expect(await leases.take()).toBeUndefined();

  expect(leases.epochs).toEqual(new Map([["main", 2]]));
  expect(leases.guarded(db)).toBe(db);
});
