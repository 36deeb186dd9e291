import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { describeEachDatabase } from "../testing/each-database.ts";
import {
  backtest,
  type ContextInit,
  dryrun,
  graph,
  idOf,
  node,
  source,
} from "../testing/graphs.ts";
import { openDag, type TestDag } from "../testing/open-dag.ts";
import { submitGraph } from "../testing/submit.ts";

interface Conflict {
  readonly id: string;
  readonly a: { readonly as_of: string; readonly pins: Readonly<Record<string, string>> };
  readonly b: Conflict["a"];
  readonly conflict: boolean;
}

const file = new URL("../../../../e2e/vectors/as-of.json", import.meta.url);
const golden = JSON.parse(readFileSync(file, "utf8")) as { readonly conflicts: Conflict[] };

const pinned = (pins: Readonly<Record<string, string>>): ContextInit => ({
  ...backtest,
  asOf: "",
  pins: Object.entries(pins).map(([of, fingerprint]) => ({ source: of, fingerprint })),
});

/** A strategy with one tagged node over some feeds. */
const reading = (name: string, feeds: readonly string[]) =>
  graph([
    ...feeds.map((feed) => source(`${feed}-bars`, feed)),
    node(
      name,
      feeds.map((feed) => `${feed}-bars`),
      { tags: ["signal"] },
    ),
  ]);

/** A strategy that queries for the tag. */
const asking = graph([node("asker", [], { tagQuery: { tags: ["signal"], matchAll: false } })]);

const nameOfQueue = ({ nodeId }: { readonly nodeId: string }): string | undefined =>
  ["one", "other", "a-bars"].find((name) => idOf(name) === nodeId);

async function ask(dag: TestDag, context: ContextInit) {
  const query = { tags: ["signal"], matchAll: false };
  const answer = await dag.queues.listQueuesByTag({ query, intervalSeconds: 86_400n, context });
  const ids = new Map(["one", "other", "wide", "free", "text"].map((name) => [idOf(name), name]));
  return {
    found: answer.queues.map(({ nodeId }) => ids.get(nodeId)!).sort(),
    left: answer.incompatibleQueues,
  };
}

describeEachDatabase("tag queries over contexts", (databases) => {
  test("match what pins no source to other data, and count what does", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag, "one", reading("one", ["a"]), pinned({ a: "1" }));
    await submitGraph(dag, "other", reading("other", ["a"]), pinned({ a: "2" }));
    await submitGraph(dag, "wide", reading("wide", ["a", "b"]), pinned({ a: "1", b: "1" }));
    await submitGraph(dag, "free", reading("free", []), pinned({}));
    await submitGraph(dag, "text", reading("text", ["b"]), { ...backtest, asOf: "1" });

    expect(await ask(dag, pinned({}))).toEqual({
      found: ["free", "one", "other", "text", "wide"],
      left: 0,
    });
    expect(await ask(dag, pinned({ a: "1" }))).toEqual({
      found: ["free", "one", "text", "wide"],
      left: 1,
    });
    expect(await ask(dag, pinned({ a: "2" }))).toEqual({ found: ["free", "other"], left: 3 });
    expect(await ask(dag, pinned({ b: "2" }))).toEqual({
      found: ["free", "one", "other"],
      left: 2,
    });
    expect(await ask(dag, pinned({ c: "1" }))).toEqual({
      found: ["free", "one", "other", "text", "wide"],
      left: 0,
    });
    expect(await ask(dag, { ...backtest, asOf: "1" })).toEqual({
      found: ["free", "one", "text", "wide"],
      left: 1,
    });
    expect(await ask(dag, { ...backtest, asOf: "9" })).toEqual({ found: ["free"], left: 4 });
    expect(await ask(dag, { ...pinned({}), worldId: "w2" })).toEqual({ found: [], left: 0 });
  });

  test("the database decides about a conflict as the golden cases say, whichever asks", async () => {
    await using dag = await openDag(databases());
    const query = { tags: ["signal"], matchAll: false };
    const said: Record<string, readonly number[]> = {};
    for (const { id, a, b } of golden.conflicts) {
      const left: number[] = [];
      for (const [there, asks] of [[a, b] as const, [b, a] as const]) {
        const worldId = `${id}-${left.length}`;
        const contextOf = ({ as_of: asOf, pins }: typeof a) => ({ ...pinned(pins), asOf, worldId });
        const of = reading(`node of ${worldId}`, Object.keys(there.pins));
        await submitGraph(dag, worldId, of, contextOf(there));
        const context = contextOf(asks);
        const answer = await dag.queues.listQueuesByTag({
          query,
          intervalSeconds: 86_400n,
          context,
        });
        expect(answer.queues.length + answer.incompatibleQueues).toBe(1);
        left.push(answer.incompatibleQueues);
      }
      said[id] = left;
    }

    const expected = golden.conflicts.map(({ id, conflict }) => [id, Array(2).fill(+conflict)]);
    expect(said).toEqual(Object.fromEntries(expected));
  });

  test("the database decides about a conflict as the rule does", async () => {
    await using dag = await openDag(databases());
    const data = [
      { asOf: "none", pins: {} },
      { asOf: "1", pins: {} },
      { asOf: "2", pins: {} },
      { asOf: "", pins: { a: "1" } },
      { asOf: "", pins: { a: "2" } },
      { asOf: "", pins: { a: "1", b: "2" } },
      { asOf: "", pins: { b: "1", c: "1" } },
    ];
    const contextOf = ({ asOf, pins }: (typeof data)[number]): ContextInit => ({
      ...pinned(pins),
      asOf,
    });
    const ids: string[] = [];
    for (const [at, each] of data.entries()) {
      const of = reading(`node ${at}`, Object.keys(each.pins));
      ids.push(of.nodes.at(-1)!.nodeId);
      await submitGraph(dag, `s${at}`, of, contextOf(each));
    }
    for (const asking of data) {
      const answer = await dag.queues.listQueuesByTag({
        query: { tags: ["signal"], matchAll: false },
        intervalSeconds: 86_400n,
        context: contextOf(asking),
      });

      const rule = ids.filter((_, at) => !doConflict(asking, data[at]!));
      expect(answer.queues.map(({ nodeId }) => nodeId).sort()).toEqual(rule.sort());
      expect(answer.incompatibleQueues).toBe(ids.length - rule.length);
    }
  });

  test("queues of a context that is no longer in force do not match", async () => {
    await using dag = await openDag(databases());
    const of = reading("one", ["a"]);
    await submitGraph(dag, "one", of, pinned({ a: "1" }));
    await submitGraph(dag, "one", of, pinned({ a: "2" }));

    expect(await ask(dag, pinned({}))).toEqual({ found: ["one"], left: 0 });
    expect(await ask(dag, pinned({ a: "1" }))).toEqual({ found: [], left: 1 });

    const { swap } = await dag.gatewayQueues.openContext({ strategyId: "one", context: dryrun });
    expect(swap!.keys).toHaveLength(1);
    expect(await ask(dag, pinned({}))).toEqual({ found: [], left: 0 });
    const told = (await dag.events()).filter(({ topicKey }) => topicKey === "tags/queue");
    expect(told).toEqual([]);
  });

  test("queues of a strategy that was unbound do not match, and who asks the query is told", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag, "one", reading("one", ["a"]), pinned({ a: "1" }));
    await submitGraph(dag, "other", reading("other", ["a"]), pinned({ a: "1" }));
    await submitGraph(dag, "asks", asking, pinned({}));
    await submitGraph(dag, "one", reading("one", ["a"]), { ...pinned({ a: "1" }), worldId: "w2" });
    const tag = { strategyId: "one", worldId: "w1" };

    expect(await dag.gatewayQueues.closeContext(tag)).toMatchObject({ closed: true });

    expect(await ask(dag, pinned({}))).toEqual({ found: ["other"], left: 0 });
    expect(await ask(dag, { ...pinned({}), worldId: "w2" })).toMatchObject({ found: ["one"] });
    const told = (await dag.events()).flatMap(({ payload }) =>
      payload.case === "tagQueryUpdated" ? [payload.value] : [],
    );
    expect(told.map(({ worldId, queues }) => [worldId, queues.map(nameOfQueue).sort()])).toEqual([
      ["w1", ["one", "other"]],
      ["w1", ["other"]],
    ]);
    const queues = (await dag.events()).flatMap(({ payload }) =>
      payload.case === "queuesUpdated" ? [payload.value] : [],
    );
    expect(queues.at(-1)).toMatchObject({ worldId: "w1", strategy: { strategyId: "one" } });
    expect(queues.at(-1)?.strategy?.queues.map(nameOfQueue)).toEqual(["a-bars"]);

    const events = (await dag.events()).length;
    expect(await dag.gatewayQueues.closeContext(tag)).toMatchObject({ closed: false });
    expect(await dag.events()).toHaveLength(events);
    await submitGraph(dag, "one", reading("one", ["a"]), pinned({ a: "1" }));
    expect(await ask(dag, pinned({}))).toEqual({ found: ["one", "other"], left: 0 });
  });

  test("a queue that another strategy has too goes on matching", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag, "one", reading("one", ["a"]), pinned({ a: "1" }));
    await submitGraph(dag, "twin", reading("one", ["a"]), pinned({ a: "1" }));

    await dag.gatewayQueues.closeContext({ strategyId: "one", worldId: "w1" });

    expect(await ask(dag, pinned({}))).toEqual({ found: ["one"], left: 0 });
  });
});

/** The rule of ADR 12, written independently: two contexts conflict when they pin one source to different data. */
function doConflict(a: Pins, b: Pins): boolean {
  const text = ({ asOf, pins }: Pins) =>
    Object.keys(pins).length === 0 && asOf !== "none" ? asOf : undefined;
  const [ofA, ofB] = [text(a), text(b)];
  if (ofA !== undefined && ofB !== undefined) return ofA !== ofB;
  const isOther = (of: string, pins: Pins["pins"]) => Object.values(pins).some((it) => it !== of);
  if (ofA !== undefined) return isOther(ofA, b.pins);
  if (ofB !== undefined) return isOther(ofB, a.pins);
  return Object.entries(a.pins).some(([of, it]) => (b.pins[of] ?? it) !== it);
}

interface Pins {
  readonly asOf: string;
  readonly pins: Readonly<Record<string, string>>;
}
