import { afterAll, describe, expect, it, onTestFinished } from "vitest";
import { openTestPglite } from "../testing/open-test-pglite.ts";
import { dbContract } from "./db.contract.ts";

describe("Db on PGlite", () => {
  let host: ReturnType<typeof openTestPglite> | undefined;
  dbContract(async () => {
    host ??= openTestPglite();
    return (await host).db("contract");
  });
  afterAll(async () => {
    await (await host)?.close();
  });
});

describe("PgliteHost", () => {
  it("refuses more calls than it may queue", async () => {
    const host = await openTestPglite();
    onTestFinished(() => host.close());
    const db = host.db("a");
    const calls = Array.from({ length: 1_100 }, () => db.query("select 1"));
    const results = await Promise.allSettled(calls);
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1_024);
    await expect(calls.at(-1)).rejects.toMatchObject({ reason: "DB_OVERLOADED" });
  });

  it("looks up a row by an index however small the table, for the plan is kept while it grows", async () => {
    const host = await openTestPglite();
    onTestFinished(() => host.close());
    const db = host.db("a");
    await db.script(
      "create schema a; create table a.t (k text primary key); insert into a.t values ('x')",
    );

    const plan = await db.query<{ "QUERY PLAN": string }>(
      "explain (costs off) select from a.t where k = any(array['x'])",
    );

    expect(plan[0]?.["QUERY PLAN"]).toMatch(/^Index (Only )?Scan using t_pkey/);
  });

  it("keeps other schemas open when one Db is closed", async () => {
    const host = await openTestPglite();
    onTestFinished(() => host.close());
    await host.db("a").close();
    expect(await host.db("b").query("select 1 as v")).toEqual([{ v: 1 }]);
    expect(host.failed.aborted).toBe(false);
  });
});
