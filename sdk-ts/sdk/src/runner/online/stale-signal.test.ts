import {
  column,
  ProcessingNode,
  type Rebalance,
  Runner,
  type StaleSignal,
  Strategy,
  StreamInput,
  WeightTargetNode,
} from "@qmtl/sdk"; // not by relative path: what a strategy's file reaches is read and hashed in every run
import {
  type BuiltBars,
  barsOfCloses,
  barsProject,
  FakeGateway,
  withColumn,
} from "@qmtl/sdk/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { ManualClock, waitUntil } from "../../testing/index.ts";
import { SignalMonitor } from "./orders/signal-monitor.ts";
import { RunReporter } from "./session/run-reporter.ts";

const day = { interval: "1d" } as const;

/** Closes of both feeds, compared: long X while X is the dearer one. */
class Pair extends Strategy {
  static readonly module = import.meta.url;
  static first: "x" | "y" = "x";
  static stale: Partial<StaleSignal> = {};
  static rebalance: Rebalance | undefined;
  readonly told: [string, number][] = [];

  override setup(): void {
    const columns = ["open", "high", "low", "close"];
    const x = column(new StreamInput({ source: "x", columns, ...day }), "close");
    const y = column(new StreamInput({ source: "y", columns, ...day }), "close");
    const compute = (w: { x: { latest(): number }; y: { latest(): number } }): number =>
      w.x.latest() > w.y.latest() ? 1 : 0;
    const inputs = Pair.first === "x" ? { x, y } : { y, x };
    const xs = new ProcessingNode({ name: "xs", inputs, period: 1, compute });
    const { stale, rebalance } = Pair;
    this.addNodes([new WeightTargetNode({ signal: xs, instrument: "X", stale, rebalance })]);
  }

  override onSignal({ bucketEndMs, target }: { bucketEndMs: number; target: number }): void {
    this.told.push([new Date(bucketEndMs).toISOString().slice(0, 10), target]);
  }
}

const rising = barsOfCloses(Array.from({ length: 40 }, (_, k) => 100 + k));
const flat = (count: number): BuiltBars => barsOfCloses(new Array<number>(count).fill(50));

/** Runs the pair in a world: what it was told, the problems, and the status at its end. */
async function pairInWorld(first: "x" | "y", stale: Partial<StaleSignal>, y = flat(20)) {
  Pair.first = first;
  Pair.stale = stale;
  await using project = await barsProject(
    { x: rising, y },
    { instruments: { X: { source: "x" } } },
  );
  const gateway = new FakeGateway();
  const strategy = new Pair();
  const problems: string[] = [];
  await using session = await Runner.session(strategy, {
    worldId: gateway.worldId,
    config: project.config,
    connection: gateway.connection(),
    onProblem: (problem) => problems.push(problem),
  });
  strategy.told.length = 0; // those of the backtest
  await session.done;
  const silent = problems.filter((problem) => problem.startsWith("signal of"));
  const last = gateway.targets.at(-1)!.update;
  return { told: strategy.told, silent, status: session.status(), last };
}

describe.each(["x", "y"] as const)("online, with %s as the first input", (first) => {
  test("a target whose second feed ends says so after five buckets, and again when the number has doubled", async () => {
    const { told, silent, status, last } = await pairInWorld(first, {});

    const text = (missed: number) =>
      `signal of target(xs,X): no value for ${missed} of ${20 + missed} buckets, since 2020-01-20, because source y has none`;
    expect(silent).toEqual([text(5), text(10), text(20)]);
    expect(status.signalStale).toEqual({ X: 20 });
    expect(last.signalGaps).toMatchObject([
      { strategyId: "s-Pair", instrument: "X", target: "target(xs,X)", buckets: 20n, source: "y" },
    ]);
    expect(told).toEqual([["2020-01-02", 1]]); // it holds
  });

  test("a target that is to go flat does so at the bucket at which a backtest does", async () => {
    // biome-ignore lint/suspicious/noThenProperty: the name of the option; what it holds is text
    const { told, silent, status } = await pairInWorld(first, { after: 3, then: "flat" });

    expect(told).toEqual([
      ["2020-01-02", 1],
      ["2020-01-24", 0],
    ]);
    expect(status.targets).toEqual({ X: 0 });
    expect(silent[0]).toBe(
      "signal of target(xs,X): no value for 3 of 23 buckets, since 2020-01-20, because source y has none; the target was set to 0",
    );
  });
});

test("a hole that ends is counted from 0 again", async () => {
  const holed = withColumn(flat(40), "close", (row) => (row >= 20 && row < 26 ? Number.NaN : 50));

  const { silent, status, last } = await pairInWorld("x", {}, holed);

  expect(silent).toHaveLength(1);
  expect(status.signalStale).toEqual({ X: 0 });
  expect(last.signalGaps).toEqual([]);
});

test("a gate that arms while a target has no signal yet states none, and what is held stays", async () => {
  const late = barsOfCloses(new Array<number>(10).fill(50), { from: "2020-01-31" });
  Pair.first = "x";
  Pair.stale = {};
  Pair.rebalance = { drift: 0.05 };
  onTestFinished(() => {
    Pair.rebalance = undefined;
  });
  await using project = await barsProject(
    { x: rising, y: late },
    { instruments: { X: { source: "x" } } },
  );
  const gateway = new FakeGateway();
  gateway.advance(20);
  await using session = await Runner.session(new Pair(), {
    worldId: gateway.worldId,
    config: project.config,
    connection: gateway.connection(),
  });
  await waitUntil(() => session.status().row === 20, "row 20 decided");
  gateway.setGate(true, "paper");
  await waitUntil(() => session.status().armed, "the gate opens");
  gateway.advance(25);
  await waitUntil(() => session.status().row === 25, "row 25 decided");
  const early = gateway.targets.flatMap(({ update }) => update.targets);
  gateway.advance(Number.POSITIVE_INFINITY);
  await session.done;

  expect(early).toEqual([]);
  const stated = gateway.targets.flatMap(({ update }) => update.targets);
  expect(stated[0]).toMatchObject({ row: 30n, size: { value: 1 } });
});

test("of a second hole both its buckets and those of all holes are told", async () => {
  const isHole = (row: number): boolean => (row >= 5 && row < 8) || (row >= 12 && row < 18);
  const holed = withColumn(flat(40), "close", (row) => (isHole(row) ? Number.NaN : 50));

  expect((await pairInWorld("x", {}, holed)).silent).toEqual([
    "signal of target(xs,X): no value for 8 of 17 buckets, 5 of them in a row since 2020-01-12, because source y has none",
  ]);
});

test("warming up is not reported; a source that never had a value is, and a hole after the values of an earlier run", () => {
  const problems: string[] = [];
  const reports = new RunReporter({ onProblem: (text) => problems.push(text) }, new ManualClock());
  const target = {
    ...{ nodeId: "n", name: "target(xs,X)", instrument: "X", markSource: "x", max: 1 },
    ...{ signalId: "s", signalSources: [], intervalMs: 86_400_000 },
    ...{ drift: 0, sizedRowOutput: -1, bounds: undefined },
    // biome-ignore lint/suspicious/noThenProperty: the name of the option; what it holds is text
    stale: { after: 2, then: "hold" },
  } as const;
  const take = (source: string | undefined, isWarm = false): void => {
    const monitor = new SignalMonitor([target], reports);
    for (let k = 1; k <= 3; k++) {
      const signals = [{ kind: "missing", source, isWarm }] as const;
      monitor.take({ signals, bucketEndMs: k * 86_400_000 });
    }
  };

  take(undefined);
  expect(problems).toEqual([]);
  take("x");
  expect(problems).toEqual([
    "signal of target(xs,X): no value for 2 of 2 buckets, since the run began, because source x has none",
  ]);
  take(undefined, true);
  expect(problems.slice(1)).toEqual([
    "signal of target(xs,X): no value for 2 of 2 buckets, since the run began, although every source has one: a node between gives none",
  ]);
});

test("a signal beyond the bounds of its target is reported once, and again when the number has doubled", async () => {
  class Short extends Strategy {
    static readonly module = import.meta.url;

    override setup(): void {
      const columns = ["open", "high", "low", "close", "weight"];
      const signal = column(new StreamInput({ source: "x", columns, ...day }), "weight");
      this.addNodes([new WeightTargetNode({ name: "t", signal, instrument: "X", weightMax: 5 })]);
    }
  }
  const bars = withColumn(flat(6), "weight", (row) => (row === 2 ? 4 : -4));
  await using project = await barsProject({ x: bars }, { instruments: { X: {} } });
  const gateway = new FakeGateway();
  const problems: string[] = [];
  await using session = await Runner.session(Short, {
    worldId: gateway.worldId,
    config: project.config,
    connection: gateway.connection(),
    onProblem: (problem) => problems.push(problem),
  });
  await session.done;

  const held = problems.filter((problem) => problem.includes("was held at"));
  expect(held).toEqual([
    "signal of t: -4 was held at -1 on 1 bar (weightMin)",
    "signal of t: -4 was held at -1 on 2 bars (weightMin)",
    "signal of t: -4 was held at -1 on 4 bars (weightMin)",
  ]);
});

test("a feed whose start is later than its last bar is reported when the run begins", async () => {
  await using project = await barsProject(
    { x: rising, y: flat(40) },
    { instruments: { X: { source: "x" } } },
  );
  const { x, y } = project.config.sources;
  const sources = { x: { ...x!, start: "2020-01-20" }, y: { ...y!, start: "2030-05-31" } };
  const gateway = new FakeGateway();
  const problems: string[] = [];
  await using _session = await Runner.session(new Pair(), {
    worldId: gateway.worldId,
    config: { ...project.config, sources },
    connection: gateway.connection(),
    onProblem: (problem) => problems.push(problem),
  });

  expect(problems).toEqual([
    'source y has no bar for a world: its "start" (2030-05-31) is later than its last one',
  ]);
});
