import { QmtlError } from "@qmtl/sdk/rpc";
import { beforeEach, expect, test } from "vitest";
import { rowsStatement, Writes } from "../store/writes.ts";
import { describeEachDatabase } from "../testing/each-database.ts";
import {
  epochsStand,
  type GatewayProcess,
  migrateAccountLeases,
  takeAccounts,
} from "./account-lease-store.ts";
import { LeasedDb } from "./leased-db.ts";

const gateway: GatewayProcess = {
  ...{ holder: "a", gatewayId: "gateway-a", host: "here", pid: 1, startTimeMs: 0 },
};
const other = { ...gateway, holder: "b", gatewayId: "gateway-b", pid: 2 };
const leaseMs = 600_000;
const insert = "INSERT INTO gateway.note (id, text) VALUES ($1, $2)";
const insertRows = rowsStatement(
  ["bigint", "text"],
  (rows) =>
    `INSERT INTO gateway.note (id, text) SELECT * FROM (${rows}) AS r WHERE r.column1 IS NOT NULL`,
);

describeEachDatabase("a database under leases", (at) => {
  let leased: LeasedDb;

  beforeEach(async () => {
    const { db } = at();
    await migrateAccountLeases(db);
    await db.script(
      "DROP TABLE IF EXISTS gateway.note; CREATE TABLE gateway.note (id bigint PRIMARY KEY, text text)",
    );
    await db.query("DELETE FROM gateway.account_lease");
    const epochs = (await takeAccounts(db, ["main"], gateway, { leaseMs }))!;
    leased = new LeasedDb(db, {
      guard: () => epochsStand(epochs),
      refusal: async () => new QmtlError("NOT_LEADER", "deposed"),
    });
  });

  const depose = () => takeAccounts(at().other, ["main"], other, { leaseMs, force: true });
  const texts = async (): Promise<string[]> => {
    const rows = await leased.query<{ text: string }>("SELECT text FROM gateway.note ORDER BY id");
    return rows.map(({ text }) => text);
  };
  const rowsWith = (...ids: number[]): Writes => {
    const writes = new Writes();
    for (const id of ids) writes.addRows(insertRows, [[id, `row ${id}`]]);
    return writes;
  };

  test("whoever holds the accounts writes as ever, and gets the rows of its writes", async () => {
    await leased.query(insert, [1, "one"]);
    const returned = await leased.query(
      "UPDATE gateway.note SET text = $2 WHERE id = $1 RETURNING text",
      [1, "uno"],
    );
    const none = await leased.query("DELETE FROM gateway.note WHERE id = $1 RETURNING id", [9]);
    await leased.query(`WITH gone AS (DELETE FROM gateway.note WHERE id = 9) ${insert}`, [
      2,
      "two",
    ]);
    await leased.transaction((tx) => tx.query(insert, [3, "three"]));
    await rowsWith(4).storeIn(leased);
    await rowsWith(5, 6).storeIn(leased);

    expect(returned).toEqual([{ text: "uno" }]);
    expect(none).toEqual([]);
    expect(await texts()).toEqual(["uno", "two", "three", "row 4", "row 5", "row 6"]);
  });

  test("whoever was deposed writes nothing, in whichever way, and reads on", async () => {
    await leased.query(insert, [1, "one"]);
    await depose();

    const writes: (() => Promise<unknown>)[] = [
      () => leased.query(insert, [2, "two"]),
      () => leased.query(`${insert} RETURNING id`, [2, "two"]),
      () => leased.query(`WITH gone AS (DELETE FROM gateway.note) ${insert}`, [2, "two"]),
      () => leased.script("DELETE FROM gateway.note"),
      () => leased.transaction((tx) => tx.query(insert, [2, "two"])),
      () => rowsWith(2).storeIn(leased),
      () => rowsWith(2, 3).storeIn(leased),
    ];
    for (const write of writes)
      await expect(write()).rejects.toMatchObject({ reason: "NOT_LEADER" });

    expect(await texts()).toEqual(["one"]);
  });

  test("a conditional write is stored while its condition holds and the accounts are held", async () => {
    const holds = (id: number) => ({
      sql: "EXISTS (SELECT FROM gateway.note WHERE id = $1::bigint)",
      params: [id],
    });
    await leased.query(insert, [1, "one"]);

    expect(await rowsWith(2, 3).storeIf(leased, [holds(1)])).toBe(true);
    expect(await rowsWith(4).storeIf(leased, [holds(1), holds(9)])).toBe(false);
    await depose();
    expect(await rowsWith(4).storeIf(leased, [holds(1)])).toBe(false);

    expect(await texts()).toEqual(["one", "row 2", "row 3"]);
  });

  test("a write that fails because another gateway wrote the same is refused as deposed", async () => {
    await depose();
    await at().other.query(insert, [1, "the other's"]);

    const late = leased.transaction((tx) => tx.query(insert, [1, "late"]));

    await expect(late).rejects.toMatchObject({ reason: "NOT_LEADER" });
  });

  test("a write that fails for itself fails as it would anyway", async () => {
    await leased.query(insert, [1, "one"]);

    await expect(leased.query(insert, [1, "again"])).rejects.toMatchObject({
      reason: "UNIQUE_VIOLATION",
    });
    const within = leased.transaction((tx) => tx.query(insert, [1, "again"]));
    await expect(within).rejects.toMatchObject({ reason: "UNIQUE_VIOLATION" });
  });

  test("a taking waits for a write that found the accounts its own, so nothing is stored behind its back", async () => {
    const order: string[] = [];
    const isServer = leased.kind === "postgres";

    let taking: Promise<unknown> = Promise.resolve();
    await leased.transaction(async (tx) => {
      await tx.query(insert, [1, "one"]);
      // On PGlite nobody else could take anything meanwhile.
      if (isServer) taking = depose().then(() => order.push("taken"));
      await tx.query(insert, [2, "two"]);
      order.push("written");
    });
    await taking;

    expect(order).toEqual(isServer ? ["written", "taken"] : ["written"]);
    expect(await texts()).toEqual(["one", "two"]);
  });
});
