import type { NodeAssignment, StrategyGraph } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { asOfPins } from "@qmtl/core/canonical";
import { expect, test } from "vitest";
import { describeEachDatabase } from "../testing/each-database.ts";
import {
  backtest,
  type ContextInit,
  demoGraphs,
  dryrun,
  graph,
  idOf,
  node,
  source,
  sourceKeyOf,
} from "../testing/graphs.ts";
import { openDag, type TestDag } from "../testing/open-dag.ts";

interface Ask {
  readonly submissionId?: string;
  readonly contexts?: readonly ContextInit[];
  readonly validateOnly?: boolean;
  readonly fromChunk?: number;
}

async function submit(dag: TestDag, strategyId: string, of: StrategyGraph, ask: Ask = {}) {
  const { submissionId = `sub-${strategyId}`, contexts = [backtest], ...rest } = ask;
  const request = { strategyId, graph: of, contexts: [...contexts], submissionId, ...rest };
  const assignments: NodeAssignment[] = [];
  const chunks: number[] = [];
  let sentinelId = "";
  for await (const chunk of dag.diff.diff(request)) {
    assignments.push(...chunk.assignments);
    chunks.push(chunk.chunk);
    sentinelId = chunk.sentinelId;
    expect(chunk.nodeIdsCrc32).toBe(of.nodeIdsCrc32);
  }
  const reused = assignments.filter((assignment) => assignment.queueReused).length;
  return { assignments, chunks, sentinelId, reused, added: assignments.length - reused };
}

const queueTopics = async (dag: TestDag) =>
  (await dag.events())
    .filter(({ topicKey }) => !topicKey.startsWith("feed/"))
    .map((event) => `${event.topicKey}#${event.revision} ${event.type}`);

describeEachDatabase("diff", (databases) => {
  test("three strategies of the demo's shape are 21 nodes in all, 13 distinct, 8 reused", async () => {
    await using dag = await openDag(databases());

    const a = await submit(dag, "A", demoGraphs.a);
    const b = await submit(dag, "B", demoGraphs.b);
    const c = await submit(dag, "C", demoGraphs.c);

    expect([a.added, a.reused]).toEqual([7, 0]);
    expect([b.added, b.reused]).toEqual([3, 4]);
    expect([c.added, c.reused]).toEqual([3, 4]);
    const keys = [a, b, c].flatMap((one) => one.assignments.map((item) => item.queue!.computeKey));
    expect([keys.length, new Set(keys).size]).toEqual([21, 13]);
    const names = [a, b, c].flatMap((one) => one.assignments.map((item) => item.queue!.queue));
    expect(new Set(names).size).toBe(13);
  });

  test("a strategy submitted again after a restart finds everything there and changes nothing", async () => {
    {
      await using dag = await openDag(databases());
      await submit(dag, "A", demoGraphs.a);
    }
    await using dag = await openDag(databases());
    const before = await queueTopics(dag);

    const again = await submit(dag, "A", demoGraphs.a, { submissionId: "later" });

    expect([again.added, again.reused]).toEqual([0, 7]);
    expect(await queueTopics(dag)).toEqual(before);
  });

  test("the same submission asked for again is answered as the first time", async () => {
    await using dag = await openDag(databases());

    const first = await submit(dag, "A", demoGraphs.a);
    const retry = await submit(dag, "A", demoGraphs.a);

    expect(retry).toEqual(first);
    expect(first.sentinelId).toBe("sub-A-sentinel");
  });

  test("another context gets queues of its own, and shares the sources", async () => {
    await using dag = await openDag(databases());
    await submit(dag, "A", demoGraphs.a);

    const other = await submit(dag, "A", demoGraphs.a, { submissionId: "2", contexts: [dryrun] });

    expect(other.reused).toBe(1);
    expect(other.assignments.every((assignment) => assignment.nodeReused)).toBe(true);
    expect(other.assignments[0]!.queue).toMatchObject({
      computeKey: sourceKeyOf("bars"),
      queue: `asset_streaminput_${idOf("bars").slice(7, 15)}_v1`,
      gatewayOnly: true,
      source: "feed",
    });
    expect(other.assignments[1]!.queue!.queue).toBe(
      `w1.dryrun.asset_sma_${idOf("close").slice(7, 15)}_v1_sim`,
    );
  });

  test("assignments come in topological order whatever the order of the nodes", async () => {
    await using dag = await openDag(databases());
    const nodes = [...demoGraphs.a.nodes].reverse();

    const { assignments } = await submit(dag, "A", graph(nodes));

    const seen = new Set<string>();
    for (const { nodeId } of assignments.map(({ queue }) => queue!)) {
      const inputs = nodes.find((one) => one.nodeId === nodeId)!.inputs;
      expect(inputs.every((input) => seen.has(input.nodeId))).toBe(true);
      seen.add(nodeId);
    }
  });

  test("a large graph comes in chunks of 100, and can be gone on with from any chunk", async () => {
    await using dag = await openDag(databases());
    const chain = [source("bars")];
    for (let at = 1; at < 250; at += 1)
      chain.push(node(`n${at}`, [at === 1 ? "bars" : `n${at - 1}`]));

    const whole = await submit(dag, "big", graph(chain));
    const rest = await submit(dag, "big", graph(chain), { fromChunk: 1 });

    expect(whole.chunks).toEqual([0, 1, 2]);
    expect(rest.chunks).toEqual([1, 2]);
    expect(rest.assignments).toEqual(whole.assignments.slice(100));
  });

  test("a cycle is refused and nothing is stored", async () => {
    await using dag = await openDag(databases());
    const loop = graph([source("bars"), node("x", ["bars", "y"]), node("y", ["x"])]);

    await expect(submit(dag, "L", loop)).rejects.toMatchObject({
      reason: "GRAPH_HAS_CYCLE",
      fields: [{ field: "graph.nodes[1].inputs" }, { field: "graph.nodes[2].inputs" }],
    });

    expect((await dag.queues.listQueueStats({})).queues).toEqual([]);
  });

  test("an input that is not in the graph is refused by the name of its field", async () => {
    await using dag = await openDag(databases());

    await expect(submit(dag, "U", graph([node("x", ["nowhere"])]))).rejects.toMatchObject({
      reason: "UNKNOWN_DEPENDENCY",
      fields: [{ field: "graph.nodes[0].inputs[0].node_id" }],
    });
  });

  test("damaged ids, two contexts of one world and a context without world are refused", async () => {
    await using dag = await openDag(databases());
    const damaged = { ...demoGraphs.a, nodeIdsCrc32: (demoGraphs.a.nodeIdsCrc32 ^ 1) >>> 0 };
    const contexts = [backtest, dryrun];

    await expect(submit(dag, "A", damaged)).rejects.toMatchObject({ reason: "CRC_MISMATCH" });
    await expect(submit(dag, "A", demoGraphs.a, { contexts })).rejects.toMatchObject({
      reason: "INVALID_FIELD",
    });
    await expect(submit(dag, "A", demoGraphs.a, { contexts: [{}] })).rejects.toMatchObject({
      reason: "CONTEXT_INCOMPLETE",
      fields: [{ field: "contexts[0].world_id" }],
    });
  });

  test("validate_only answers what would happen and stores nothing", async () => {
    await using dag = await openDag(databases());

    const dry = await submit(dag, "A", demoGraphs.a, { validateOnly: true });
    const real = await submit(dag, "A", demoGraphs.a);

    expect(dry.assignments).toEqual(real.assignments);
    expect(real.added).toBe(7);
  });

  test("a queue name that is taken grows by two characters", async () => {
    await using dag = await openDag(databases());
    const twin = (tail: string) => `blake3:${"ab".repeat(4)}${tail.repeat(56)}`;
    const nodes = ["0", "1", "2"].map((tail) =>
      node(tail, [], { nodeId: twin(tail), tags: ["BTC"] }),
    );

    const { assignments } = await submit(dag, "N", graph(nodes));

    expect(assignments.map((item) => item.queue!.queue)).toEqual([
      "w1.backtest.btc_sma_abababab_v1",
      "w1.backtest.btc_sma_abababab11_v1",
      "w1.backtest.btc_sma_abababab22_v1",
    ]);
  });

  test("two processes that submit at once agree on names and on who was first", async () => {
    await using dag = await openDag(databases());

    const both = await Promise.all([
      submit(dag, "A", demoGraphs.a),
      submit(dag, "B", demoGraphs.b),
    ]);

    expect(both.map((one) => one.added).sort()).toEqual([3, 7]);
    expect((await dag.queues.listQueueStats({})).queues).toHaveLength(10);
  });

  test("events carry gap-free revisions per world, and tell of tag queries and their matches", async () => {
    await using dag = await openDag(databases());
    const tagged = { tags: ["crypto", "hourly"] };
    const query = { tags: ["crypto"], matchAll: false };
    const asking = node("asking", [], { nodeType: "TagQueryNode", tagQuery: query });
    const worlds = [backtest, { ...backtest, worldId: "w2" }];
    await submit(dag, "Q", graph([asking]), { contexts: worlds });

    await submit(dag, "S", graph([source("bars"), node("tagged", ["bars"], tagged)]));

    expect(await queueTopics(dag)).toEqual([
      "world/w1/queue#1 queues_updated",
      "world/w2/queue#1 queues_updated",
      "tags/queue#1 tag_query_updated",
      "tags/queue#2 tag_query_updated",
      "world/w1/queue#2 queues_updated",
      "tags/queue#3 tag_query_updated",
    ]);
    const { payload } = (await dag.events()).at(-1)!;
    expect(payload.value).toMatchObject({
      query: { tags: ["crypto"], matchAll: false },
      worldId: "w1",
      intervalSeconds: 86_400n,
    });
    expect(
      payload.case === "tagQueryUpdated" && payload.value.queues.map((one) => one.nodeId),
    ).toEqual([idOf("tagged")]);
  });

  test("queues are found by any or all tags, in their context, page by page", async () => {
    await using dag = await openDag(databases());
    const nodes = [source("bars", "feed", { tags: ["crypto"] })];
    for (const name of ["x", "y"]) nodes.push(node(name, ["bars"], { tags: ["crypto", name] }));
    await submit(dag, "S", graph(nodes));
    const ask = async (tags: string[], matchAll: boolean, context?: ContextInit) => {
      const query = { tags, matchAll };
      const base = {
        query,
        intervalSeconds: 86_400n,
        ...(context === undefined ? {} : { context }),
      };
      return (await dag.queues.listQueuesByTag(base)).queues.map((queue) => queue.nodeId);
    };

    expect((await ask(["crypto"], false, backtest)).sort()).toEqual(
      ["bars", "x", "y"].map(idOf).sort(),
    );
    expect(await ask(["crypto", "x"], true, backtest)).toEqual([idOf("x")]);
    expect(await ask(["crypto"], false, dryrun)).toEqual([idOf("bars")]);
    expect(await ask(["crypto"], false)).toEqual([idOf("bars")]);
    const query = { tags: ["crypto"], matchAll: false };
    const base = { query, intervalSeconds: 86_400n, context: backtest, pageSize: 2 };
    const first = await dag.queues.listQueuesByTag(base);
    const second = await dag.queues.listQueuesByTag({ ...base, pageToken: first.nextPageToken });
    expect([first.queues.length, second.queues.length, second.nextPageToken]).toEqual([2, 1, ""]);
  });

  test("a node's context has the pins of its own cone, and nodes of one cone are shared", async () => {
    await using dag = await openDag(databases());
    const sources = [source("bars"), source("flow", "flows")];
    const sma = node("sma", ["bars"]);
    const both = node("both", ["sma", "flow"]);
    const clock = node("clock", []);
    const pinned = { ...backtest, asOf: "" };
    const barsPin = { source: "feed", fingerprint: "f1" };
    const pins = [barsPin, { source: "flows", fingerprint: "f2" }];

    const one = await submit(dag, "one", graph([sources[0]!, sma]), {
      contexts: [{ ...pinned, pins: [barsPin] }],
    });
    const two = await submit(dag, "two", graph([...sources, sma, both, clock]), {
      contexts: [{ ...pinned, pins }],
    });

    const contexts = new Map(
      two.assignments.map(({ queue }) => [queue!.nodeId, queue!.context!] as const),
    );
    const { asOf } = contexts.get(idOf("both"))!;
    expect(asOf).toBe(asOfPins({ feed: "f1", flows: "f2" }));
    expect(contexts.get(idOf("sma"))).toMatchObject({ asOf: "f1", pins: [barsPin] });
    expect(contexts.get(idOf("both"))!.pins).toMatchObject(pins);
    expect(contexts.get(idOf("clock"))).toMatchObject({ asOf: "none", pins: [] });
    expect(contexts.get(idOf("bars"))).toMatchObject({ asOf: "", worldId: "", pins: [] });
    const keyOfSma = ({ assignments }: typeof one) =>
      assignments.find(({ queue }) => queue!.nodeId === idOf("sma"))!.queue!.computeKey;
    expect(keyOfSma(two)).toBe(keyOfSma(one));
  });

  test("a source that is not pinned, or pinned twice, is refused and nothing is stored", async () => {
    await using dag = await openDag(databases());
    const pin = { source: "feed", fingerprint: "f1" };
    const of = graph([source("bars"), source("flow", "flows"), node("both", ["bars", "flow"])]);
    const context = { ...backtest, asOf: "" };

    await expect(
      submit(dag, "A", of, { contexts: [{ ...context, pins: [pin] }] }),
    ).rejects.toMatchObject({ reason: "CONTEXT_INCOMPLETE", metadata: { source: "flows" } });
    await expect(
      submit(dag, "A", of, { contexts: [{ ...context, pins: [pin, pin] }] }),
    ).rejects.toMatchObject({ reason: "INVALID_FIELD", fields: [{ field: "contexts[0].pins" }] });

    expect((await dag.queues.listQueueStats({})).queues).toEqual([]);
  });

  test("figures are listed by strategy and world, page by page; what is unknown is not found", async () => {
    await using dag = await openDag(databases());
    await submit(dag, "A", demoGraphs.a);
    await submit(dag, "B", demoGraphs.b, { contexts: [{ ...backtest, worldId: "w2" }] });
    const { queues } = dag;

    const names: string[] = [];
    for (let pageToken = ""; ; ) {
      const page = await queues.listQueueStats({ strategyId: "A", pageSize: 3, pageToken });
      names.push(...page.queues.map((each) => each.queue!.queue));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    // The three nodes that B has, too, have queues in both worlds.
    expect(names).toHaveLength(7 + 3);
    expect(names).toEqual([...new Set(names)].sort());
    const inWorld = await queues.listQueueStats({ strategyId: "A", worldId: "w1" });
    expect(inWorld.queues).toHaveLength(6);
    const { nextPageToken } = await queues.listQueueStats({ strategyId: "A", pageSize: 3 });
    await expect(
      queues.listQueueStats({ strategyId: "B", pageToken: nextPageToken }),
    ).rejects.toMatchObject({ reason: "PAGE_TOKEN_INVALID" });
    await expect(queues.listQueueStats({ strategyId: "nobody" })).rejects.toMatchObject({
      reason: "STRATEGY_NOT_FOUND",
    });
    await expect(queues.listQueueStats({ computeKeys: ["nokey"] })).rejects.toMatchObject({
      reason: "QUEUE_NOT_FOUND",
    });
  });
});
