import { beforeEach, expect, test } from "vitest";
import { describeEachDatabase } from "../testing/each-database.ts";
import {
  epochsStand,
  type GatewayProcess,
  migrateAccountLeases,
  readAccountHolders,
  releaseAccounts,
  renewAccounts,
  takeAccounts,
} from "./account-lease-store.ts";

const processOf = (holder: string, pid: number): GatewayProcess => ({
  holder,
  gatewayId: `gateway-${holder}`,
  host: "here",
  pid,
  startTimeMs: 1_000 + pid,
});
const [a, b] = [processOf("a", 1), processOf("b", 2)];
/** Longer than any test takes. */
const long = { leaseMs: 600_000 };
/** Over as soon as it is taken. */
const over = { leaseMs: 0 };

describeEachDatabase("leases of accounts", (at) => {
  beforeEach(async () => {
    await migrateAccountLeases(at().db);
    await at().db.query("DELETE FROM gateway.account_lease");
  });

  const holds = async (epochs: ReadonlyMap<string, number>): Promise<boolean | undefined> => {
    const { sql, params } = epochsStand(epochs);
    const [row] = await at().db.query<{ holds: boolean }>(`SELECT ${sql} AS holds`, params);
    return row?.holds;
  };

  test("an account is taken by one gateway, and its holder can be named", async () => {
    const { db, other } = at();

    expect(await takeAccounts(db, ["main"], a, long)).toEqual(new Map([["main", 1]]));
    expect(await takeAccounts(other, ["main"], b, long)).toBeUndefined();

    const [holder] = await readAccountHolders(other, ["main", "nobody's"]);
    expect(holder).toMatchObject({ accountId: "main", epoch: 1, ...a });
    expect(holder?.remainingMs).toBeGreaterThan(long.leaseMs / 2);
  });

  test("of several accounts a gateway takes all or none", async () => {
    const { db, other } = at();
    await takeAccounts(db, ["main"], a, long);

    expect(await takeAccounts(other, ["alone", "main"], b, long)).toBeUndefined();

    expect(await takeAccounts(other, ["alone"], b, long)).toEqual(new Map([["alone", 1]]));
  });

  test("a lease that ran out is taken under a higher epoch, and its former holder renews no more", async () => {
    const { db, other } = at();
    const first = (await takeAccounts(db, ["main"], a, over))!;
    expect(await holds(first)).toBe(true);

    const second = (await takeAccounts(other, ["main"], b, long))!;

    expect(second.get("main")).toBe(2);
    expect([await holds(first), await holds(second)]).toEqual([false, true]);
    expect(await renewAccounts(db, first, long.leaseMs)).toBe(false);
    await releaseAccounts(db, first);
    expect(await takeAccounts(db, ["main"], a, long)).toBeUndefined();
  });

  test("a lease that ran out and that nobody took is renewed under its epoch", async () => {
    const { db, other } = at();
    const epochs = (await takeAccounts(db, ["main"], a, over))!;

    expect(await renewAccounts(db, epochs, long.leaseMs)).toBe(true);

    expect(await takeAccounts(other, ["main"], b, long)).toBeUndefined();
    expect(await holds(epochs)).toBe(true);
  });

  test("an account that is given back is free at once, and its epoch goes on rising", async () => {
    const { db, other } = at();
    const epochs = (await takeAccounts(db, ["main"], a, long))!;

    await releaseAccounts(db, epochs);

    expect(await takeAccounts(other, ["main"], b, long)).toEqual(new Map([["main", 2]]));
  });

  test("where no other process can live the lease is taken from whoever had it", async () => {
    const { db } = at();
    await takeAccounts(db, ["main"], a, long);

    expect(await takeAccounts(db, ["main"], b, { ...long, force: true })).toEqual(
      new Map([["main", 2]]),
    );
  });

  test("epochs stand only while all of them do", async () => {
    const { db } = at();
    const epochs = (await takeAccounts(db, ["main", "other"], a, long))!;
    expect(await holds(epochs)).toBe(true);

    await takeAccounts(db, ["other"], b, { ...long, force: true });

    expect(await holds(epochs)).toBe(false);
  });
});
