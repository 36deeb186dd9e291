import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { loadConfig } from "../../config/index.ts";
import {
  column,
  PositionTargetNode,
  ProcessingNode,
  returns,
  rsi,
  Strategy,
  StreamInput,
  sma,
} from "../../strategy/index.ts";
import { FakeGateway, replayBars, waitUntil } from "../../testing/index.ts";
import {
  type IdentifiedStrategy,
  identifyStrategy,
} from "../strategy-loading/identify-strategy.ts";
import { singleRecords } from "./log/wire-records.ts";
import { runOnline, runWorker } from "./run-online.ts";
import type { OnlineOptions, OnlineRun, OnlineWorker } from "./session/online-run.ts";
import type { OnlineEvent } from "./session/run-reporter.ts";

const historyRows = 60;
const feedRows = 40;
const rows = replayBars(historyRows, feedRows);

/** What is wrong with a strategy: its own node, a node that others have, or its start. */
type Fault = "own" | "shared" | "start";

/** Row at which a node throws. */
const faultRow = historyRows + 17;
/** Value at that row, by which the function knows it. */
const faultClose = rows.column("close")[faultRow]!;

class Wave extends Strategy {
  readonly #long: number;
  readonly #fault: Fault | undefined;
  readonly #source: string;
  readonly heard: string[] = [];
  constructor(name: string, long: number, fault?: Fault, source = "feed") {
    super({ name, defaultInterval: "1d", defaultPeriod: 1 });
    this.#long = long;
    this.#fault = fault;
    this.#source = source;
  }
  setup(): void {
    const bars = new StreamInput({
      source: this.#source,
      columns: ["open", "high", "low", "close"],
    });
    const close = column(bars, "close");
    const swing = rsi(returns(close), 3);
    if (this.#fault === "own" || this.#fault === "shared") {
      const params = { faultClose, by: this.#fault === "own" ? this.#long : 0 };
      const fragile = new ProcessingNode({
        name: "fragile",
        inputs: { close },
        period: 1,
        params,
        compute: (x, { faultClose: odd }) => {
          if (x.close.latest() === odd) throw new Error("an odd price");
          return x.close.latest();
        },
      });
      this.addNodes([fragile]);
    }
    this.addNodes([
      sma(close, 5),
      new PositionTargetNode({
        signal: swing,
        instrument: this.#source === "feed" ? "X" : "Y",
        thresholds: { longEnter: this.#long, longExit: 30, shortEnter: 20, shortExit: 40 },
      }),
    ]);
  }
  override onStart(): void {
    if (this.#fault === "start") throw new Error("not today");
  }
  override onError(error: Error): void {
    this.heard.push(error.message);
  }
}

const folder = mkdtempSync(join(tmpdir(), "qmtl-worker-"));
writeFileSync(
  join(folder, "qmtl.yml"),
  `sources: {feed: {file: feed.csv, interval: 1d}, other: {file: other.csv, interval: 1d}}
instruments: {X: {mark_source: feed, lot: "0.1"}, Y: {mark_source: other, lot: "0.1"}}
accounts: {paper: {instruments: [X, Y]}}
`,
);
const config = loadConfig({ path: join(folder, "qmtl.yml"), env: {} });
afterAll(() => rmSync(folder, { recursive: true }));

const open: (OnlineRun | OnlineWorker)[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((run) => run.stop()));
});

const identify = (strategy: Strategy): IdentifiedStrategy =>
  identifyStrategy(strategy, { worldId: "w1", module: fileURLToPath(import.meta.url) });

function optionsOf(gateway: FakeGateway, sessionId: string): OnlineOptions {
  return {
    worldId: gateway.worldId,
    config,
    connection: gateway.connection(),
    loadRows: async () => rows,
    sessionId,
  };
}

async function work(gateway: FakeGateway, strategies: readonly Strategy[], sessionId = "worker") {
  const events: OnlineEvent[] = [];
  const problems: string[] = [];
  const prepared = strategies.map((strategy) => {
    return { identified: identify(strategy), backtest: undefined };
  });
  const worker = await runWorker(prepared, {
    ...optionsOf(gateway, sessionId),
    onEvent: (event) => events.push(event),
    onProblem: (problem) => problems.push(problem),
  });
  open.push(worker);
  return { worker, events, problems };
}

const waves = (...names: string[]): Wave[] => names.map((name, at) => new Wave(name, 55 + 10 * at));

/** Ids of the nodes that strategies have, each once. */
function distinctNodes(strategies: readonly Strategy[]): string[] {
  const all = strategies.flatMap((one) => identify(one).graph.nodes.map(({ id }) => id));
  return [...new Set(all)];
}

/** Rows of a node in the log, with their values. */
function rowsOf(gateway: FakeGateway, nodeId: string, domain: "backtest" | "dryrun" = "backtest") {
  const records = gateway.log.records(gateway.key(nodeId, domain));
  return records.flatMap((record) =>
    [...singleRecords(record)].flatMap(({ content, row }) =>
      content === undefined ? [] : [[row!, ...content.values]],
    ),
  );
}

const feedRowNumbers = Array.from({ length: feedRows }, (_, at) => historyRows + at);
const endedRows = (gateway: FakeGateway): number[] =>
  gateway.targets.flatMap(({ update }) => update.ends.map(({ row }) => Number(row)));

/** Targets that were stated for a strategy, with the row, when they differ from the one before. */
function statedBy(gateway: FakeGateway, strategyId: string) {
  const all = gateway.targets
    .flatMap(({ update }) => update.targets)
    .filter((target) => target.strategyId === strategyId)
    .map(({ row, size }) => [Number(row), size.value]);
  return all.filter(([, value], at) => at === 0 || value !== all[at - 1]![1]);
}

/** Runs strategies with the gate open, each in a process of its own or all in one. */
async function playOpen(strategies: readonly Strategy[], isWorker: boolean): Promise<FakeGateway> {
  const gateway = new FakeGateway();
  gateway.advance(historyRows - 1);
  const runs: { readonly done: Promise<void>; readonly isArmed: () => boolean }[] = [];
  if (isWorker) {
    const { worker } = await work(gateway, strategies);
    const isArmed = () => worker.status().strategies.every(({ armed }) => armed);
    runs.push({ done: worker.done, isArmed });
  } else {
    for (const strategy of strategies) {
      const run = await runOnline(identify(strategy), optionsOf(gateway, strategy.name));
      open.push(run);
      runs.push({ done: run.done, isArmed: () => run.status().armed });
    }
  }
  await waitUntil(() => gateway.runners.size === runs.length, "all in the runner set");
  gateway.setGate(true, "paper");
  await waitUntil(() => runs.every(({ isArmed }) => isArmed()), "the gates open");
  gateway.advance(Number.POSITIVE_INFINITY);
  await Promise.all(runs.map(({ done }) => done));
  return gateway;
}

describe("a worker", () => {
  test("computes a node that several strategies have once, and ends each bucket once for all of them", async () => {
    const gateway = new FakeGateway();
    const strategies = waves("A", "B", "C");

    const { worker } = await work(gateway, strategies);
    await worker.done;

    const nodes = distinctNodes(strategies);
    expect(nodes).toHaveLength(distinctNodes([strategies[0]!]).length + 2);
    expect(worker.status().evaluations.shared).toBe(nodes.length * feedRows);
    for (const id of nodes) expect(rowsOf(gateway, id).map(([row]) => row)).toEqual(feedRowNumbers);
    expect(gateway.log.voidRecords).toBe(0);
    expect(endedRows(gateway)).toEqual(feedRowNumbers);
    const named = gateway.targets.map(({ update }) => update.strategyIds);
    expect(new Set(named.map((ids) => ids.join()))).toEqual(new Set(["s-A,s-B,s-C"]));
    expect(new Set(gateway.targets.map(({ sessionId }) => sessionId))).toEqual(new Set(["worker"]));
    expect(gateway.runners.size).toBe(0);
    expect(nodes.map((id) => gateway.holder(gateway.key(id)))).toEqual(nodes.map(() => undefined));
  });

  test("states for each strategy the targets that a process of its own would", async () => {
    const strategies = () => waves("A", "B", "C");

    const alone = await playOpen(strategies(), false);
    const together = await playOpen(strategies(), true);

    for (const id of ["s-A", "s-B", "s-C"]) {
      expect(statedBy(together, id)).toEqual(statedBy(alone, id));
      expect(statedBy(together, id).length).toBeGreaterThan(3);
    }
    expect(endedRows(together)).toEqual(feedRowNumbers);
    expect(together.targets.some(({ update }) => update.targets.length > 1)).toBe(true);
  });

  test("takes a strategy out that throws: the others go on with the same targets, and are named apart", async () => {
    const odd = new Wave("odd", 60, "own");
    const [a, b] = waves("A", "B");
    const alone = await playOpen(waves("A", "B"), true);

    const gateway = new FakeGateway();
    gateway.advance(historyRows - 1);
    const { worker, events } = await work(gateway, [a!, odd, b!]);
    await waitUntil(() => gateway.runners.size === 1, "the worker in the runner set");
    gateway.setGate(true, "paper");
    await waitUntil(() => worker.status().strategies.every(({ armed }) => armed), "the gates open");
    gateway.advance(historyRows + 25);
    await waitUntil(() => gateway.runners.get("worker") === historyRows + 25, "row 25 ended");

    const own = distinctNodes([odd]).filter((id) => !distinctNodes([a!, b!]).includes(id));
    await waitUntil(
      () => own.every((id) => gateway.holder(gateway.key(id)) === undefined),
      "the leases of its own nodes given up",
    );
    gateway.advance(Number.POSITIVE_INFINITY);
    await worker.done;

    for (const id of ["s-A", "s-B"]) expect(statedBy(gateway, id)).toEqual(statedBy(alone, id));
    expect(endedRows(gateway)).toEqual(feedRowNumbers);
    expect(statedBy(gateway, "s-odd").every(([row]) => Number(row) < faultRow)).toBe(true);
    for (const id of own)
      expect(rowsOf(gateway, id).every(([row]) => Number(row) < faultRow)).toBe(true);
    const [out, ...more] = events.filter(({ kind }) => kind === "taken_out");
    expect(more).toEqual([]);
    expect(out).toMatchObject({ strategy: "odd" });
    expect(out?.message).toMatch(/node "fragile" at row 77 .*an odd price/);
    const failures = worker.status().strategies.map(({ name, failure }) => [name, failure]);
    expect(failures).toEqual([
      ["A", undefined],
      ["odd", expect.stringMatching("an odd price")],
      ["B", undefined],
    ]);
    expect(odd.heard).toEqual([expect.stringMatching("an odd price")]);
    expect(a!.heard).toEqual([]);
    const last = gateway.targets.at(-1)!.update;
    expect(last.strategyIds).toEqual(["s-A", "s-B"]);
  });

  test("its next ticket does not cover a strategy that was taken out, and it does not speak of it any more", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows - 1);
    const strategies = [...waves("A", "B"), new Wave("odd", 60, "own")];
    const { worker, events, problems } = await work(gateway, strategies);
    await waitUntil(() => gateway.runners.size === 1, "the worker in the runner set");
    gateway.setGate(true, "paper");
    await waitUntil(() => worker.status().strategies.every(({ armed }) => armed), "the gates open");
    expect(gateway.coveredBy("worker")).toEqual(["s-A", "s-B", "s-odd"]);

    gateway.advance(historyRows + 25);
    await waitUntil(
      () => gateway.coveredBy("worker").join() === "s-A,s-B",
      "a ticket for those that run",
    );
    const leases = gateway.leasesGiven;
    await waitUntil(() => gateway.leasesGiven > leases + 1, "leases under it");
    const before = gateway.targets.length;
    gateway.advance(Number.POSITIVE_INFINITY);
    await worker.done;

    const after = gateway.targets.slice(before).map(({ update }) => update);
    expect(after.length).toBeGreaterThan(3);
    for (const { strategyIds, wanted } of after) {
      expect(strategyIds).toEqual(["s-A", "s-B"]);
      expect(wanted.map(({ strategyId }) => strategyId)).toEqual(["s-A", "s-B"]);
    }
    expect(endedRows(gateway)).toEqual(feedRowNumbers);
    for (const name of ["A", "B"]) {
      const own = events.filter(({ strategy }) => strategy === name).map(({ kind }) => kind);
      expect(own.filter((kind) => kind === "gate_shut")).toEqual([]);
    }
    expect(problems).toEqual([]);
  });

  test("takes out every strategy that has the node that throws, and fails when none is left", async () => {
    const gateway = new FakeGateway();
    const strategies = [new Wave("A", 60, "shared"), new Wave("B", 70, "shared")];

    const { worker, events } = await work(gateway, strategies);

    await expect(worker.done).rejects.toThrow("an odd price");
    expect(events.filter(({ kind }) => kind === "taken_out")).toEqual([]);
    expect(worker.status().strategies.map(({ failure }) => failure === undefined)).toEqual([
      false,
      false,
    ]);
    expect(gateway.runners.size).toBe(0);
  });

  test("a strategy that does not start is taken out before it is submitted", async () => {
    const gateway = new FakeGateway();

    const { worker, events } = await work(gateway, [
      new Wave("late", 50, "start"),
      ...waves("A", "B"),
    ]);
    await worker.done;

    expect(events.find(({ kind }) => kind === "taken_out")).toMatchObject({
      strategy: "late",
      message: "not today; the other strategies go on",
    });
    const submitted = events.filter(({ kind }) => kind === "submitted");
    expect(submitted.map(({ strategy }) => strategy)).toEqual(["A", "B"]);
    expect(endedRows(gateway)).toEqual(feedRowNumbers);
  });

  test("two strategies of one name are refused before anything is submitted", async () => {
    const gateway = new FakeGateway();

    const refused = work(gateway, [...waves("A", "B"), new Wave("A", 80)]);

    await expect(refused).rejects.toMatchObject({
      reason: "STRATEGY_NAME_TAKEN",
      message: 'two strategies are named "A": each strategy of a worker needs a name of its own',
    });
    expect(() => gateway.key(distinctNodes(waves("A"))[1]!)).not.toThrow();
    expect(gateway.reads).toEqual([]);
  });

  test("when it dies another one takes over from its snapshots, and the log is that of an undisturbed one", async () => {
    const strategies = () => waves("A", "B", "C");
    const calm = new FakeGateway();
    await (await work(calm, strategies(), "calm")).worker.done;
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 15);
    await work(gateway, strategies(), "first");
    await waitUntil(() => gateway.runners.get("first") === historyRows + 15, "row 15 ended");

    gateway.kill("first");
    const { worker, events } = await work(gateway, strategies(), "second");
    gateway.advance(Number.POSITIVE_INFINITY);
    await worker.done;

    for (const id of distinctNodes(strategies()))
      expect(rowsOf(gateway, id)).toEqual(rowsOf(calm, id));
    expect(events.some(({ kind }) => kind === "takeover")).toBe(true);
    expect(events.some(({ kind }) => kind === "diverged")).toBe(false);
  });

  test("strategies that rise together are computed together in the new context", async () => {
    const strategies = waves("A", "B", "C");
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 10);
    const { worker, events } = await work(gateway, strategies);
    await waitUntil(() => gateway.runners.get("worker") === historyRows + 10, "row 10 ended");

    for (const id of ["s-A", "s-B", "s-C"]) gateway.openContext(id);
    for (const id of ["s-A", "s-B", "s-C"])
      await waitUntil(() => gateway.swapPhase(id) === 3, `COMMIT of ${id}`);
    gateway.advance(Number.POSITIVE_INFINITY);
    await worker.done;

    const fromRow = historyRows + 12;
    const [source, ...computed] = distinctNodes(strategies);
    for (const id of computed) {
      const own = rowsOf(gateway, id, "dryrun").map(([row]) => row);
      expect(own).toEqual(feedRowNumbers.filter((row) => row > historyRows + 10));
    }
    expect(rowsOf(gateway, source!)).toHaveLength(feedRows);
    expect(endedRows(gateway)).toEqual(feedRowNumbers);
    const { shared } = worker.status().evaluations;
    expect(shared).toBe((computed.length + 1) * feedRows);
    const swaps = events.filter(({ kind, row }) => kind === "swap" && row === fromRow);
    expect(swaps.map(({ strategy }) => strategy)).toEqual(["A", "B", "C"]);
  });

  test("a strategy that rises alone follows the nodes that the others compute in its new context", async () => {
    const strategies = waves("A", "B", "C");
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 10);
    const { worker } = await work(gateway, strategies);
    await waitUntil(() => gateway.runners.get("worker") === historyRows + 10, "row 10 ended");
    for (const id of ["s-A", "s-B"]) gateway.openContext(id);
    for (const id of ["s-A", "s-B"])
      await waitUntil(() => gateway.swapPhase(id) === 3, `COMMIT of ${id}`);
    gateway.advance(historyRows + 20);
    await waitUntil(() => gateway.runners.get("worker") === historyRows + 20, "row 20 ended");

    gateway.openContext("s-C");
    await waitUntil(() => gateway.swapPhase("s-C") === 3, "COMMIT of C");
    gateway.advance(Number.POSITIVE_INFINITY);
    await worker.done;

    const shared = distinctNodes(strategies).slice(1);
    for (const id of shared) {
      const own = rowsOf(gateway, id, "dryrun").map(([row]) => row);
      expect(own).toEqual([...new Set(own)]);
      expect(own.at(-1)).toBe(historyRows + feedRows - 1);
    }
    expect(gateway.log.voidRecords).toBe(0);
    expect(endedRows(gateway)).toEqual(feedRowNumbers);
  });

  test("a strategy on a feed of its own rises alone, and each moment is still ended with one call for both feeds", async () => {
    const strategies = [...waves("A", "B"), new Wave("C", 60, undefined, "other")];
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 10);
    const { worker } = await work(gateway, strategies);
    await waitUntil(() => gateway.runners.get("worker") === historyRows + 10, "row 10 ended");

    gateway.openContext("s-C");
    await waitUntil(() => gateway.swapPhase("s-C") === 3, "COMMIT of C");
    gateway.openContext("s-A");
    await waitUntil(() => gateway.swapPhase("s-A") === 3, "COMMIT of A");
    gateway.advance(Number.POSITIVE_INFINITY);
    await worker.done;

    const ends = gateway.targets.map(({ update }) =>
      update.ends.map(({ source }) => source).sort(),
    );
    expect(ends).toEqual(feedRowNumbers.map(() => ["feed", "other"]));
    const fromC = distinctNodes([strategies[2]!]).slice(1);
    for (const id of fromC)
      expect(rowsOf(gateway, id, "dryrun").at(-1)![0]).toBe(historyRows + feedRows - 1);
    expect(worker.status().strategies.map(({ row }) => row)).toEqual(
      strategies.map(() => historyRows + feedRows - 1),
    );
  });

  test("a strategy that was taken out does not keep its change of context waiting", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 20);
    const { worker } = await work(gateway, [new Wave("odd", 60, "own"), ...waves("A", "B")]);
    await waitUntil(() => gateway.runners.get("worker") === historyRows + 20, "row 20 ended");

    gateway.openContext("s-odd");
    await waitUntil(() => gateway.swapPhase("s-odd") === 3, "COMMIT of a strategy that is out");
    gateway.advance(Number.POSITIVE_INFINITY);
    await worker.done;

    expect(endedRows(gateway)).toEqual(feedRowNumbers);
  });
});
