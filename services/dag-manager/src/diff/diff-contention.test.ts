import { worldTopicKey } from "@qmtl/service-kit/control";
import type { Db, Queryable } from "@qmtl/service-kit/db";
import { countedDb } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { describeEachDatabase } from "../testing/each-database.ts";
import { backtest, demoGraphs, graph, node, source } from "../testing/graphs.ts";
import { openDag, type TestDag } from "../testing/open-dag.ts";
import { submitGraph } from "../testing/submit.ts";

const topicKey = worldTopicKey("w1", "queue");

/** A database in which something else happens before a graph is written, `times` times. */
function disturbed(db: Db, times: number, disturb: () => Promise<unknown>): Db {
  let left = times;
  const around = (inner: Queryable): Queryable => ({
    script: (sql) => inner.script(sql),
    async query(sql, params) {
      if (/with nodes as/.test(sql) && left > 0) {
        left -= 1;
        await disturb();
      }
      return inner.query(sql, params);
    },
  });
  return {
    ...around(db),
    kind: db.kind,
    schema: db.schema,
    // In a data folder nothing else happens during a transaction.
    transaction: (fn, options) =>
      db.transaction((tx) => fn(db.kind === "pglite" ? tx : around(tx)), options),
    close: () => db.close(),
    [Symbol.asyncDispose]: () => db.close(),
  };
}

async function revisionsTold(dag: TestDag): Promise<number[]> {
  const events = await dag.events();
  return events
    .filter((event) => event.topicKey === topicKey)
    .map((event) => Number(event.revision));
}

describeEachDatabase("a graph that is not alone", (databases) => {
  /** Counts an event of the world's topic, as a swap would. */
  const countOne = () =>
    databases().bus.query(
      `insert into dag.topic_revision as t (topic_key, revision) values ($1, 1)
       on conflict (topic_key) do update set revision = t.revision + 1`,
      [topicKey],
    );
  const strategies = (count: number) =>
    Array.from({ length: count }, (_, at) => {
      const own = node(`own${at}`, ["shared"]);
      return { id: `S${at}`, of: graph([source("bars"), node("shared", ["bars"]), own]) };
    });

  test.each([1, 4])(
    "is planned again when its world's queues change %i times before it is written",
    async (times) => {
      const dbs = { ...databases(), dag: disturbed(databases().dag, times, countOne) };
      await using dag = await openDag(dbs);

      await submitGraph(dag);

      expect(await revisionsTold(dag)).toEqual([times + 1]);
    },
  );

  test("is refused for now when they change every time and cannot be held still, and leaves nothing behind", async () => {
    const { dag: base } = databases();
    const dbs = { ...databases(), dag: disturbed(base, 1_000, countOne) };
    await using dag = await openDag(dbs);
    if (base.kind === "pglite") {
      await submitGraph(dag);
      expect(await revisionsTold(dag)).toHaveLength(1);
      return;
    }

    await expect(submitGraph(dag)).rejects.toMatchObject({ reason: "TOO_MANY_REQUESTS" });

    for (const table of [
      "node",
      "queue",
      "strategy_node",
      "strategy_context",
      "sentinel",
      "outbox",
    ]) {
      const sql = `select 1 as one from dag.${table} ${table === "outbox" ? `where key = '${topicKey}'` : ""}`;
      expect([table, await base.query(sql)]).toEqual([table, []]);
    }
  });

  test("is added beside others and while contexts are closed, and every change is told once, in order", async () => {
    await using dag = await openDag(databases());
    const all = strategies(8);

    await Promise.all(
      all.flatMap(({ id, of }) => [
        submitGraph(dag, id, of),
        dag.gatewayQueues.closeContext({ strategyId: id, worldId: "w1" }),
      ]),
    );

    const told = await revisionsTold(dag);
    expect(told).toEqual(told.map((_, at) => at + 1));
    expect(told.length).toBeGreaterThanOrEqual(8);
    const nodes = await databases().dag.query("select node_id from dag.node");
    expect(nodes).toHaveLength(2 + 8);
  });

  test("is written with those that come meanwhile, where no other process writes, and none is told out of turn", async () => {
    const { dag: base } = databases();
    let writes = 0;
    const counted = countedDb(base, (_, sql) => {
      if (/with nodes as/.test(sql)) writes += 1;
    });
    await using dag = await openDag({ ...databases(), dag: counted });

    await Promise.all(strategies(8).map(({ id, of }) => submitGraph(dag, id, of)));

    if (base.kind === "pglite") expect(writes).toBeLessThan(8);
    expect(await revisionsTold(dag)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(await base.query("select 1 as one from dag.strategy_node")).toHaveLength(3 * 8);
    expect(await base.query("select 1 as one from dag.sentinel")).toHaveLength(8);
    const contexts = "select 1 as one from dag.strategy_context where is_current";
    expect(await base.query(contexts)).toHaveLength(8);
    expect(await base.query("select 1 as one from dag.queue")).toHaveLength(2 + 8);
  });

  test("is added by itself when what it was planned from with others changes before they are written", async () => {
    const dbs = { ...databases(), dag: disturbed(databases().dag, 2, countOne) };
    await using dag = await openDag(dbs);

    await Promise.all(strategies(4).map(({ id, of }) => submitGraph(dag, id, of)));

    expect(await revisionsTold(dag)).toEqual([3, 4, 5, 6]);
    expect(await databases().dag.query("select 1 as one from dag.node")).toHaveLength(2 + 4);
  });

  test("does not fail with one beside it that cannot be added", async () => {
    await using dag = await openDag(databases());
    const taken = strategies(3);
    const bad = { ...backtest, worldId: "" };

    const outcomes = await Promise.allSettled([
      submitGraph(dag, taken[0]!.id, taken[0]!.of),
      submitGraph(dag, taken[1]!.id, taken[1]!.of, bad),
      submitGraph(dag, taken[2]!.id, taken[2]!.of),
    ]);

    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(await revisionsTold(dag)).toEqual([1, 2]);
  });

  test("is submitted twice at once by one strategy for two worlds, and both have its queues", async () => {
    await using dag = await openDag(databases());
    const [{ id, of }] = strategies(1) as [ReturnType<typeof strategies>[number]];

    await Promise.all([
      submitGraph(dag, id, of),
      submitGraph(dag, id, of, { ...backtest, worldId: "w2" }),
    ]);

    const rows = await databases().dag.query<{ world_id: string }>(
      "select world_id from dag.strategy_context where is_current order by world_id",
    );
    expect(rows.map(({ world_id }) => world_id)).toEqual(["w1", "w2"]);
  });

  test("shares its nodes with one that is submitted at the same time, and each counts its own as new", async () => {
    await using dag = await openDag(databases());

    await Promise.all([submitGraph(dag, "A", demoGraphs.a), submitGraph(dag, "B", demoGraphs.b)]);
    await submitGraph(dag, "A", demoGraphs.a, { ...backtest, asOf: "data-2" });

    const rows = await databases().dag.query<{ strategy_id: string; as_of: string }>(
      "select strategy_id, as_of from dag.strategy_context where is_current order by strategy_id",
    );
    expect(rows).toEqual([
      { strategy_id: "A", as_of: "data-2" },
      { strategy_id: "B", as_of: "data-1" },
    ]);
  });
});
