import { connect, createServer, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describePostgres, type TestPostgres } from "../testing/describe-servers.ts";
import { dbContract } from "./db.contract.ts";
import type { Db } from "./db.ts";
import { LostBackends } from "./lost-backends.ts";
import { openPostgres } from "./postgres-db.ts";

describePostgres("Db", (server) => {
  let dsn: Promise<string> | undefined;
  dbContract(async () => {
    dsn ??= server().createDatabase();
    return openPostgres({ dsn: await dsn, schema: "contract" });
  });

  describe("what only a server can do", () => onlyServer(server));
});

function onlyServer(server: () => TestPostgres): void {
  let db: Db;
  let admin: Db;

  beforeAll(async () => {
    const dsn = await server().createDatabase();
    db = await openPostgres({
      dsn,
      schema: "s",
      connectionsMax: 2,
      callsMax: 5,
    });
    admin = await openPostgres({ dsn, schema: "s" });
    await db.script("create schema s; create table s.t (id int primary key, n int)");
  });
  afterAll(async () => {
    await db.close();
    await admin.close();
  });

  const kill = (pid: number) => admin.query("select pg_terminate_backend($1, 5000)", [pid]);
  const ownPid = "select pg_backend_pid() as pid";

  it("cancels a statement that runs too long", async () => {
    const dsn = server().dsn("postgres");
    await using brief = await openPostgres({ dsn, schema: "s", statementMsMax: 200 });
    await expect(brief.query("select pg_sleep(30)")).rejects.toMatchObject({
      reason: "STATEMENT_TIMEOUT",
    });
  });

  it("refuses more waiting calls than it may hold", async () => {
    const calls = Array.from({ length: 6 }, () => db.query("select pg_sleep(0.2)"));
    const results = await Promise.allSettled(calls);
    expect(results.map(({ status }) => status)).toEqual([
      ...Array(5).fill("fulfilled"),
      "rejected",
    ]);
    await expect(calls[5]).rejects.toMatchObject({ reason: "DB_OVERLOADED" });
  });

  it("calls a commit whose connection was lost unknown", async () => {
    // A deferred trigger runs inside COMMIT; the backend kills itself there.
    await db.script(`create function s.die() returns trigger language plpgsql as
        $$ begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(5); return null; end $$;
      create constraint trigger die after insert on s.t deferrable initially deferred
        for each row when (new.n = 13) execute function s.die()`);
    const lost = db.transaction((tx) => tx.query("insert into s.t values (1, 13)"));
    await expect(lost).rejects.toMatchObject({ reason: "UNKNOWN_OUTCOME" });
    expect(await db.query("select 1 as v")).toEqual([{ v: 1 }]);
  });

  it("calls a transaction whose connection was lost before the commit unavailable", async () => {
    const lost = db.transaction(async (tx) => {
      const [row] = await tx.query<{ pid: number }>(ownPid);
      await tx.query("insert into s.t values (2, 1)");
      await admin.query("select 1");
      await kill(row?.pid ?? 0);
      await tx.query("select 1");
    });
    await expect(lost).rejects.toMatchObject({ reason: "DB_UNAVAILABLE" });
    expect(await db.query("select id from s.t where id = 2")).toEqual([]);
  });

  it("survives the loss of a connection nobody was using at the moment", async () => {
    const lost = db.transaction(async (tx) => {
      const [row] = await tx.query<{ pid: number }>(ownPid);
      await kill(row?.pid ?? 0);
    });
    await expect(lost).rejects.toMatchObject({ reason: "UNKNOWN_OUTCOME" });
  });

  it("reads nothing while a statement whose answer was lost may still be stored", async () => {
    const dsn = await server().createDatabase();
    await using wire = await openWire(dsn);
    const lostBackends = new LostBackends();
    await using cut = await openPostgres({ dsn: wire.dsn, schema: "s", lostBackends });
    await using other = await openPostgres({ dsn, schema: "s", lostBackends });
    await cut.script("create table public.t (id int primary key)");
    const writes = [
      "with late as materialized (select pg_sleep(2)) insert into public.t select 1 from late",
      "with late as materialized (select pg_sleep(2)) insert into public.t select 2 from late",
    ].map((sql) => cut.query(sql));
    const lost = Promise.allSettled(writes);
    await until(async () => (await asleep(other)) === 2);
    wire.cut();
    const unknown = { status: "rejected", reason: { reason: "UNKNOWN_OUTCOME" } };
    expect(await lost).toMatchObject([unknown, unknown]);

    const read = await Promise.all([cut, other].map((db) => db.query("select id from public.t")));
    expect(await asleep(other)).toBe(0);
    await other.query("select pg_sleep(2.5)");

    expect([...read, await cut.query("select id from public.t")]).toEqual([[], [], []]);
  });

  it("ends no other backend than the one whose answer was lost", async () => {
    const dsn = await server().createDatabase();
    await using own = await openPostgres({ dsn, schema: "s" });
    const [before] = await own.query<{ pid: number }>(ownPid);
    const lostBackends = new LostBackends();
    // Its pid is used again, by a backend that began later.
    lostBackends.add({ pid: before!.pid, began: "2020-01-01 00:00:00+00" });
    await using next = await openPostgres({ dsn, schema: "s", lostBackends });

    expect(await next.query("select 1 as v")).toEqual([{ v: 1 }]);
    expect(await own.query(ownPid)).toEqual([before]);
  });

  it("reports a serialization failure and a deadlock as one to be run again", async () => {
    await db.query("insert into s.t values (10, 0), (11, 0)");
    const first: (() => void)[] = [];
    const both = [0, 1].map((side) =>
      db.transaction(async (tx) => {
        await tx.query("update s.t set n = n + 1 where id = $1", [10 + side]);
        await new Promise<void>((resolve) => {
          first.push(resolve);
          if (first.length === 2) for (const go of first) go();
        });
        await tx.query("update s.t set n = n + 1 where id = $1", [11 - side]);
      }),
    );
    const results = await Promise.allSettled(both);
    const failed = results.filter((result) => result.status === "rejected");
    expect(failed).toHaveLength(1);
    expect(failed[0]?.reason).toMatchObject({ reason: "SERIALIZATION_FAILURE", sqlState: "40P01" });
  });

  it("ends a transaction that stays open too long", async () => {
    const short = await openPostgres({
      dsn: server().dsn("postgres"),
      schema: "s",
      transactionMsMax: 50,
    });
    const stuck = short.transaction(() => new Promise(() => {}));
    await expect(stuck).rejects.toMatchObject({ reason: "TRANSACTION_TIMEOUT" });
    expect(await short.query("select 1 as v")).toEqual([{ v: 1 }]);
    await short.close();
  });

  it("says at once that nothing listens", async () => {
    const nobody = openPostgres({ dsn: "postgres://x@127.0.0.1:1/x", schema: "s" });
    await expect(nobody).rejects.toMatchObject({ reason: "DB_UNAVAILABLE" });
  });
}

/** A wire to the server of a dsn that can be cut: the client sees its connections end, the server does not at once. */
async function openWire(dsn: string) {
  const { hostname, port } = new URL(dsn);
  const sockets = new Set<Socket>();
  const wire: Server = createServer((client) => {
    const toServer = connect(Number(port), hostname);
    sockets.add(client);
    for (const socket of [client, toServer]) socket.on("error", () => {});
    client.pipe(toServer, { end: false });
    toServer.pipe(client);
  });
  await new Promise<void>((resolve) => wire.listen(0, "127.0.0.1", resolve));
  const address = wire.address();
  const own = new URL(dsn);
  own.hostname = "127.0.0.1";
  own.port = String(typeof address === "object" ? address?.port : "");
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  return {
    dsn: own.href,
    cut,
    [Symbol.asyncDispose]: async () => {
      cut();
      await new Promise((resolve) => wire.close(resolve));
    },
  };
}

/** Number of statements of other connections that sleep. */
async function asleep(db: Db): Promise<number> {
  const rows = await db.query(
    "select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'",
  );
  return rows.length;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}
