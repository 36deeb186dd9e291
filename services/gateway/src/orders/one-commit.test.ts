import { type Db, openPostgres, type Tx } from "@qmtl/service-kit/db";
import { describePostgres, openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type BenchHost, bucketOf, OrderBench } from "./testing/order-bench.ts";

let bench: OrderBench;

/** What a database was asked for: the first words of statements, and "transaction". */
function noting(host: BenchHost, asked: string[]): BenchHost {
  const db = (schema: string): Db => {
    const inner = host.db(schema);
    return {
      kind: inner.kind,
      schema: inner.schema,
      query: (sql, params) => {
        if (!/^\s*select/i.test(sql)) asked.push("statement");
        return inner.query(sql, params);
      },
      script: (sql) => inner.script(sql),
      transaction: (fn, options) => {
        asked.push("transaction");
        return inner.transaction(fn, options);
      },
      close: () => inner.close(),
      [Symbol.asyncDispose]: () => inner.close(),
    };
  };
  return { db };
}

const entries = () => bench.db.query<{ entry: number }>("SELECT entry FROM gateway.journal");

function commonTests(host: () => BenchHost): void {
  const asked: string[] = [];
  afterEach(() => bench.orders.stop());

  async function onPaper(): Promise<void> {
    bench = await OrderBench.open(noting(host(), asked));
    await bench.bar(0, 100);
    await bench.promote({ A: 0.4, B: 0.3 });
    // From here on the counts of the topic are known.
    await bench.end("A", 0, 0.1);
    await bench.bar(1, 100);
    asked.length = 0;
  }

  test("targets, their orders and the broker's acceptance are one statement, and so are fills and journal", async () => {
    await onPaper();

    const [first] = await Promise.all([bench.end("A", 1, -1), bench.end("B", 1, 0.5)]);
    expect(asked).toEqual(["statement"]);
    await bench.bar(2, 100, 90);

    expect(asked).toEqual(["statement", "statement"]);
    expect(first.results?.[0]?.clientOrderIds).toHaveLength(2);
    const orders = (await bench.list()).map(({ strategy, state }) => `${strategy} ${state}`);
    expect(orders).toEqual(["A filled", "A filled", "A filled", "B filled"]);
    expect(asked).toHaveLength(2);
    await bench.orders.reconcile(bench.router);
    expect(bench.router.difference).toBe("");
  });

  test("an order that fills at once is stored as filled, with what it filled", async () => {
    await onPaper();
    await bench.bar(2, 110);

    await bench.end("A", 1, 0.5);

    const [order] = await bench.db.query<{ lots: number; filled: number; value: number }>(
      `SELECT lots, filled_lots AS filled, filled_value AS value FROM gateway.client_order
       WHERE state = 'filled' AND bucket_end_ms = $1`,
      [bucketOf(1)],
    );
    expect(order?.filled).toBe(order?.lots);
    expect(order?.value).toBeCloseTo(order!.lots * 110 * 1.0001, 6);
    await bench.restart();
    expect(bench.router.difference).toBe("");
  });

  test("while the database is away nothing is taken, no gate stays shut for it, and the target comes through later", async () => {
    await onPaper();
    const before = await entries();
    bench.db.isDown = true;
    // Longer than a lease: an order that was stored by then would be late.
    bench.fault = () => {
      bench.aheadMs += 10_000;
      return false;
    };

    await expect(bench.end("A", 1, 1)).rejects.toThrow("taken the database away");

    bench.db.isDown = false;
    bench.fault = () => false;
    expect(bench.orders.gates.get("w1")?.isShutByLateOrder).toBe(false);
    expect(await entries()).toEqual(before);
    await bench.orders.gates.get("w1")?.beat();
    await bench.armed();
    expect((await bench.end("A", 1, 1)).results).toMatchObject([{ accepted: true, reason: "" }]);
    expect(await bench.accepted()).toHaveLength(2);
  });

  test("an order under a fence that the broker was told to replace leaves neither journal nor acceptance", async () => {
    await onPaper();
    const before = await entries();
    await bench.db.query("UPDATE paper.world_fence SET fence = fence + 1");

    const { results } = await bench.end("A", 1, 1);

    expect(results).toMatchObject([{ accepted: false, reason: "FENCE_STALE", clientOrderIds: [] }]);
    expect(await entries()).toEqual(before);
    expect(await bench.accepted()).toHaveLength(1);
  });
}

describe("one commit of router and broker (PGlite)", () => {
  let host: Awaited<ReturnType<typeof openTestPglite>>;
  beforeAll(async () => {
    host = await openTestPglite();
  });
  afterAll(() => host.close());
  commonTests(() => host);
});

describePostgres("one commit of router and broker", (server) => {
  const dbs = new Map<string, Db>();
  beforeAll(async () => {
    const dsn = await server().createDatabase();
    for (const name of ["gateway", "paper", "other"]) {
      const schema = name === "other" ? "gateway" : name;
      dbs.set(name, await openPostgres({ dsn, schema, connectionsMax: 3 }));
    }
  }, 60_000);
  afterAll(async () => {
    await Promise.all([...dbs.values()].map((db) => db.close()));
  });
  const host = { db: (schema: string) => dbs.get(schema)! };
  commonTests(() => host);

  test.each([
    {
      what: "the gate",
      freeze: "UPDATE gateway.gate_fence SET gate = 'CLOSING', fence = fence + 1",
    },
    { what: "the broker", freeze: "UPDATE paper.world_fence SET fence = fence + 1" },
  ])(
    "a freeze of $what that is under way is waited for, and then nothing leaves",
    async ({ freeze }) => {
      bench = await OrderBench.open(host);
      await bench.bar(0, 100);
      await bench.promote({ A: 0.4 });
      const before = await entries();
      let answered = false;
      let taking: ReturnType<OrderBench["end"]> | undefined;

      await dbs.get("other")!.transaction(async (tx: Tx) => {
        await tx.query(freeze);
        taking = bench.end("A", 0, 1).finally(() => {
          answered = true;
        });
        await until(async () => (await waiting(tx)) > 0);
        expect(answered).toBe(false);
      });

      expect((await taking)?.results).toMatchObject([{ accepted: false, reason: "FENCE_STALE" }]);
      expect(await entries()).toEqual(before);
      expect(await bench.accepted()).toEqual([]);
    },
  );
});

/** Statements of this database that wait for a lock. */
async function waiting(tx: Tx): Promise<number> {
  const rows = await tx.query(
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
  );
  await tx.query("SELECT pg_stat_clear_snapshot()");
  return rows.length;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10));
}
