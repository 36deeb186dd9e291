import type { NodeAssignment, StrategyGraph } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { worldTopicKey } from "@qmtl/service-kit/control";
import type { Db } from "@qmtl/service-kit/db";
import { countedDb } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { describeEachDatabase } from "../testing/each-database.ts";
import { backtest, graph, idOf, keyOf, node, source } from "../testing/graphs.ts";
import { openDag, type TestDag } from "../testing/open-dag.ts";

/** A chain with the nodes that all have, and one of its own. */
function chain(at: number, more: Parameters<typeof node>[2] = {}): StrategyGraph {
  return graph([source("bars"), node("shared", ["bars"]), node(`own${at}`, ["shared"], more)]);
}

async function submit(dag: TestDag, strategyId: string, of: StrategyGraph, submissionId = "") {
  const id = submissionId === "" ? `sub-${strategyId}` : submissionId;
  const request = { strategyId, graph: of, contexts: [backtest], submissionId: id };
  const assignments: NodeAssignment[] = [];
  for await (const chunk of dag.diff.diff(request)) assignments.push(...chunk.assignments);
  return assignments;
}

const reusedOf = (assignments: readonly NodeAssignment[]) =>
  assignments.map(({ nodeReused, queueReused }) => [nodeReused, queueReused]);

describeEachDatabase("what is remembered of the graph", (databases) => {
  /** Counts how often it was compared with what is stored. */
  const watched = () => {
    const reads = { count: 0 };
    const dag = countedDb(databases().dag, (_, sql) => {
      if (/as own_nodes/.test(sql)) reads.count += 1;
    });
    return { reads, dbs: { ...databases(), dag } };
  };
  const isSole = () => databases().dag.kind === "pglite";

  test("new strategies are added without reading it, as long as no other process writes it", async () => {
    const { reads, dbs } = watched();
    await using dag = await openDag(dbs);

    const first = await submit(dag, "S0", chain(0));
    const second = await submit(dag, "S1", chain(1));
    const third = await submit(dag, "S2", chain(2));

    expect(reads.count).toBe(isSole() ? 1 : 3);
    expect(reusedOf(first)).toEqual([1, 2, 3].map(() => [false, false]));
    for (const assignments of [second, third]) {
      expect(reusedOf(assignments)).toEqual([
        [true, true],
        [true, true],
        [false, false],
      ]);
    }
    expect(second.slice(0, 2).map(({ queue }) => queue)).toEqual(
      first.slice(0, 2).map(({ queue }) => queue),
    );
  });

  test("a graph that was submitted before, and one with tags, are compared with what is stored", async () => {
    const { reads, dbs } = watched();
    await using dag = await openDag(dbs);
    await submit(dag, "S0", chain(0));
    reads.count = 0;

    const again = await submit(dag, "S0", chain(0), "later");
    expect(reads.count).toBe(1);
    await submit(dag, "S1", chain(1, { tags: ["fast"] }));
    expect(reads.count).toBe(2);

    expect(reusedOf(again)).toEqual([1, 2, 3].map(() => [true, true]));
  });

  const own = idOf("own2");
  const copied = (what: string, values: string) => async (db: Db) => {
    await db.query(
      `insert into dag.${what} select (jsonb_populate_record(t, '${values}'::jsonb)).* from dag.${what} t limit 1`,
    );
  };
  const name = `w1.backtest.asset_sma_${own.slice(7, 15)}_v1`;
  test.each([
    {
      what: "an event of the world was written",
      change: async (db: Db) => {
        const key = worldTopicKey("w1", "queue");
        await db.query(
          "update dag.topic_revision set revision = revision + 1 where topic_key = $1",
          [key],
        );
      },
      last: [false, false],
      revision: 4,
    },
    {
      what: "a node was added",
      change: copied("node", JSON.stringify({ node_id: own, submission_id: "other" })),
      last: [true, false],
      revision: 3,
    },
    {
      what: "the name of a queue was taken",
      change: copied("queue", JSON.stringify({ compute_key: keyOf("x"), name })),
      last: [false, false],
      revision: 3,
    },
    {
      what: "the strategy was given nodes",
      change: copied("strategy_node", JSON.stringify({ strategy_id: "S2" })),
      last: [false, false],
      revision: 3,
    },
  ])("is not trusted: $what meanwhile", async ({ change, last, revision }) => {
    const { reads, dbs } = watched();
    await using dag = await openDag(dbs);
    await submit(dag, "S0", chain(0));
    await submit(dag, "S1", chain(1));
    await change(databases().dag);
    reads.count = 0;

    const assignments = await submit(dag, "S2", chain(2));

    expect(reads.count).toBe(1);
    expect(reusedOf(assignments)).toEqual([[true, true], [true, true], last]);
    const names = assignments.map(({ queue }) => queue!.queue);
    const stored = await databases().dag.query<{ name: string }>(
      `select q.name from dag.queue q join dag.strategy_node s using (node_id)
       where s.strategy_id = 'S2' and q.compute_key <> $1 order by s.position`,
      [keyOf("x")],
    );
    expect(stored.map((row) => row.name)).toEqual(names);
    const events = await dag.events();
    expect(Number(events.at(-1)!.revision)).toBe(revision);
    expect(events.at(-1)!.subject).toBe("S2");
  });
});
