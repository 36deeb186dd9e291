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

/** Long Q by a column of q, and long V by one of v, whose bars are shorter. */
class Apart extends Strategy {
  static readonly module = import.meta.url;
  static interval = "1d";
  static stale: Partial<StaleSignal> = {};

  override setup(): void {
    const columns = ["open", "high", "low", "close", "weight"];
    for (const [source, instrument, interval, stale] of [
      ["q", "Q", Apart.interval, Apart.stale],
      ["v", "V", "4h", {}],
    ] as const) {
      const bars = new StreamInput({ source, columns, interval });
      const signal = column(bars, "weight", { name: instrument });
      this.addNodes([new WeightTargetNode({ signal, instrument, stale })]);
    }
  }
}

/** `Apart` in a backtest and in a world: what either says of the signal of Q, and the status at the end. */
async function apart(
  interval: string,
  stale: Partial<StaleSignal>,
  bars: { readonly q: number; readonly v: number; readonly isSilent?: (row: number) => boolean },
) {
  Apart.interval = interval;
  Apart.stale = stale;
  const from = interval === "5d" ? "2024-01-01" : "2023-12-01";
  const whole = barsOfCloses(new Array<number>(bars.q).fill(100), { from, interval });
  const q = withColumn(whole, "weight", (row) =>
    bars.isSilent?.(row) === true ? Number.NaN : 0.3,
  );
  const closes = new Array<number>(bars.v).fill(50);
  const v = withColumn(barsOfCloses(closes, { from, interval: "4h" }), "weight", () => 0.3);
  const instruments = { Q: { source: "q" }, V: { source: "v" } };
  await using project = await barsProject({ q, v }, { instruments });
  const { config } = project;
  const { notes } = await Runner.offline(new Apart(), { config });
  const gateway = new FakeGateway();
  const strategy = new Apart();
  const problems: string[] = [];
  await using session = await Runner.session(strategy, {
    worldId: gateway.worldId,
    config,
    connection: gateway.connection(),
    onProblem: (problem) => problems.push(problem),
  });
  await session.done;
  const { signalStale, targets } = session.status();
  const isOfQ = (text: string): boolean => text.startsWith("signal of target(Q,Q)");
  return {
    offline: notes.filter(isOfQ),
    online: problems.filter(isOfQ),
    ...{ missed: signalStale.Q, target: targets.Q },
  };
}

describe("after the feed of a target has ended beside a shorter one, online and offline", () => {
  const said = (missed: number, of: number, more = "") =>
    `signal of target(Q,Q): no value for ${missed} of ${of} buckets, since 2023-12-20, because source q has none${more}`;

  test("its own days are counted and not the four hours of the other, and it is said to be 0 once it is", async () => {
    // biome-ignore lint/suspicious/noThenProperty: the name of the option; what it holds is text
    const stale = { after: 3, then: "flat" } as const;
    const short = await apart("1d", stale, { q: 20, v: 22 * 6 + 5 });
    const long = await apart("1d", stale, { q: 20, v: 27 * 6 + 5 });

    // Two days and 20 hours after the last bar it is held, and nothing is said.
    expect(short).toMatchObject({ offline: [], online: [], missed: 2, target: 0.3 });
    const zero = "; the target was set to 0";
    expect(long.offline).toEqual([said(7, 27, zero)]);
    expect(long.online).toEqual([said(3, 23, zero), said(6, 26, zero)]);
    expect(long).toMatchObject({ missed: 7, target: 0 });
  });

  test("one that holds is not said to be 0, and has the same number", async () => {
    const { offline, online, missed, target } = await apart("1d", {}, { q: 20, v: 26 * 6 + 3 });

    expect(offline).toEqual([said(6, 26)]);
    expect(online).toEqual([said(5, 25)]);
    expect({ missed, target }).toEqual({ missed: 6, target: 0.3 });
  });

  test("buckets without a value before the end count, too, and the target is 0 when it is set to 0", async () => {
    // biome-ignore lint/suspicious/noThenProperty: the name of the option; what it holds is text
    const stale = { after: 3, then: "flat" } as const;
    const isSilent = (row: number): boolean => row >= 20;
    const early = await apart("1d", stale, { q: 22, v: 24 * 6 + 1, isSilent });
    const late = await apart("1d", stale, { q: 22, v: 26 * 6 + 1, isSilent });

    expect(early.offline).toEqual([said(4, 24)]);
    expect(early.online).toEqual([said(3, 23)]);
    expect(early).toMatchObject({ missed: 4, target: 0.3 });
    expect(late.offline).toEqual([said(6, 26, "; the target was set to 0")]);
    expect(late.online).toEqual([said(3, 23), said(6, 26, "; the target was set to 0")]);
    expect(late).toMatchObject({ missed: 6, target: 0 });
  });

  test("of a week of five days nothing is missing before the next week is over", async () => {
    const stale = { after: 1 };
    // The third week ends with Friday, 2024-01-19.
    const before = await apart("5d", stale, { q: 3, v: 25 * 6 });
    const after = await apart("5d", stale, { q: 3, v: 26 * 6 });

    expect(before).toMatchObject({ offline: [], online: [], missed: 0 });
    expect(after.online).toEqual(after.offline);
    expect(after.offline[0]).toContain("no value for 1 of 4 buckets, since 2024-01-15,");
    expect(after.missed).toBe(1);
  });

  test("months are those of the calendar", async () => {
    // December and January have bars; February and March, of 29 and 31 days, have none.
    const { offline, online, missed } = await apart("1mo", { after: 2 }, { q: 2, v: 122 * 6 });

    expect(online).toEqual(offline);
    expect(offline[0]).toContain("no value for 2 of 4 buckets, since 2024-01-01,");
    expect(missed).toBe(2);
  });
});

test("a target whose feed had ended before its run began is counted from the last bar of its feed", () => {
  const problems: string[] = [];
  const reports = new RunReporter({ onProblem: (text) => problems.push(text) }, new ManualClock());
  const target = {
    ...{ nodeId: "n", name: "target(xs,X)", instrument: "X", markSource: "x", max: 1 },
    ...{ signalId: "s", signalSources: [], intervalMs: 86_400_000 },
    ...{ drift: 0, sizedRowOutput: -1, bounds: undefined },
    // biome-ignore lint/suspicious/noThenProperty: the name of the option; what it holds is text
    stale: { after: 5, then: "hold" },
  } as const;
  const monitor = new SignalMonitor([target], reports);
  for (const intervals of [7, 7, 7, 8]) {
    const ended = { intervals, sinceMs: 86_400_000 };
    const signals = [{ kind: "missing", source: "x", isWarm: true, ended }] as const;
    monitor.take({ signals, bucketEndMs: 9 * 86_400_000 });
  }

  expect(problems).toEqual([
    "signal of target(xs,X): no value for 7 of 7 buckets, since 1970-01-01, because source x has none",
  ]);
  expect(monitor.missed).toEqual({ X: 8 });
});
