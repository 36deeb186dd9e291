import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type BarSource,
  column,
  loadConfig,
  makeIntentFirstNodeset,
  PositionTargetNode,
  ProcessingNode,
  type QmtlConfig,
  Runner,
  Strategy,
  type StrategyClass,
  StreamInput,
} from "@qmtl/sdk"; // not by relative path: what a strategy's file reaches is read and hashed in every run
import { afterAll, beforeAll, describe, expect, test } from "vitest";

let folder: string;
let config: QmtlConfig;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "offline-run-"));
  const days = Array.from({ length: 30 }, (_, k) => new Date(Date.UTC(2020, 0, k + 1)));
  const rows = (shift: number) =>
    days.map((day, k) => {
      const close = 100 + ((k * 7) % 11);
      return [day.toISOString().slice(0, 10), close - 1, close + 1, close - 2, close, k + shift];
    });
  const write = (name: string, shift: number) =>
    writeFileSync(
      join(folder, name),
      `date,open,high,low,close,mark\n${rows(shift)
        .map((row) => row.join(","))
        .join("\n")}\n`,
    );
  write("feed.csv", 0);
  write("history.csv", 1_000);
  writeFileSync(
    join(folder, "qmtl.yml"),
    `sources:
  day: {file: feed.csv, history_file: history.csv, interval: 1d, start: 2020-01-21}
instruments:
  X: {lot: "1", mark_source: day}
accounts:
  main: {initial_cash: "10000", fee_bps: 10, half_spread_bps: 5, instruments: [X]}
`,
  );
  config = loadConfig({ path: join(folder, "qmtl.yml"), env: {} });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function bars(columns: string[] = ["close"], source = "day") {
  return new StreamInput({ source, columns, interval: "1d" });
}

class Threshold extends Strategy {
  static readonly module = import.meta.url;
  readonly told: string[] = [];

  override setup(): void {
    const close = column(bars(), "close", { name: "close" });
    const signal = new ProcessingNode({
      name: "signal",
      inputs: { close },
      period: 1,
      compute: (windows) => (windows.close.latest() - 105) / 5,
    });
    this.addNodeset(makeIntentFirstNodeset({ signal, instrument: "X" }));
  }
  override onStart(): void {
    this.told.push("start");
  }
  override onSignal(): void {
    this.told.push("signal");
  }
  override onFill(): void {
    this.told.push("fill");
  }
  override onError(error: Error): void {
    this.told.push(error.message);
  }
  override onFinish(): void {
    this.told.push("finish");
  }
}

describe("an offline run", () => {
  test("trades the declared history: the rows before the feed's start", async () => {
    const result = await Runner.offline(Threshold, { config });

    expect(result.timesMs).toHaveLength(20);
    expect(result.returns).toMatchObject({ samples: 19, source: "backtest", periodsPerYear: 252 });
    expect(result.notes.join()).toContain("2020-01-01 to 2020-01-20");
    expect(result.notes.join()).toContain(
      'The 10 rows of source day that had not ended at its "start"',
    );
    expect(result.afterTarget).toMatchObject({ bars: 20, orders: result.orders.length });
    expect([...result.evaluations.values()]).toEqual([20, 20, 20]);
    expect(result.costs.fees).toBeGreaterThan(0);
    expect(result.datasetFingerprint).toMatch(/^blake3:[0-9a-f]{64}$/);
    expect(result.equity[0]).toBe(10_000);
  });

  test("rejects with what went wrong first, whatever its last callbacks throw after it", async () => {
    class Failing extends Threshold {
      override onStart(): void {
        throw new Error("first");
      }
      override onError(): void {
        throw new Error("second");
      }
      override onFinish(): void {
        throw new Error("third");
      }
    }
    const problems: string[] = [];
    const run = Runner.offline(Failing, { config, onProblem: (problem) => problems.push(problem) });

    await expect(run).rejects.toThrow("first");
    expect(problems).toEqual(["onError failed: Error: second", "onFinish failed: Error: third"]);
  });

  test("with from, earlier rows warm the nodes and are not traded", async () => {
    const result = await Runner.offline(Threshold, {
      config,
      from: "2020-01-22",
      until: "2020-01-30",
    });

    expect(result.warmupRows).toBe(21);
    expect(result.timesMs).toHaveLength(9);
    expect([...result.evaluations.values()]).toEqual([30, 30, 30]);
  });

  test("rows before start come from the history file, later ones from the feed", async () => {
    class Marks extends Strategy {
      override setup(): void {
        const signal = column(bars(["mark"]), "mark");
        const thresholds = { longEnter: 1_000, longExit: 500 };
        this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
      }
    }
    const result = await Runner.offline(Marks, { config, until: "2020-01-30" });

    expect(
      result.fills.map((fill) => [fill.side, new Date(fill.eventTimeMs).getUTCDate()]),
    ).toEqual([
      ["buy", 2],
      ["sell", 22],
    ]);
  });

  test("costs are left out only by name, and the result and its notes say so", async () => {
    const dear = await Runner.offline(Threshold, { config });
    const free = await Runner.offline(Threshold, { config, noCosts: true });

    expect(dear.noCosts).toBe(false);
    expect(free.noCosts).toBe(true);
    expect(free.costs).toEqual({ fees: 0, spread: 0 });
    expect(free.notes.join()).toContain("No costs");
    expect(free.equity.at(-1)!).toBeGreaterThan(dear.equity.at(-1)!);
  });

  test("tells the strategy what happened, in order", async () => {
    const strategy = new Threshold();
    const result = await Runner.offline(strategy, { config });

    expect(strategy.told[0]).toBe("start");
    expect(strategy.told.at(-1)).toBe("finish");
    expect(strategy.told.filter((one) => one === "fill")).toHaveLength(result.fills.length);
    expect(strategy.told.indexOf("signal")).toBeLessThan(strategy.told.indexOf("fill"));
  });

  test("gives the same result twice, and reports its progress to the end", async () => {
    const seen: number[] = [];
    const onProgress = (done: number, total: number) => seen.push(done / total);
    const first = await Runner.offline(Threshold, { config, onProgress });
    const second = await Runner.offline(Threshold, { config });

    expect(second.equity).toEqual(first.equity);
    expect(second.nodes).toEqual(first.nodes);
    expect(seen.at(-1)).toBe(1);
  });

  test("writes a report that carries the notes", async () => {
    const report = join(folder, "report.html");
    await Runner.offline(Threshold, { config, noCosts: true, report, now: () => 0 });

    const html = readFileSync(report, "utf8");
    expect(html).toContain("Backtest of Threshold");
    expect(html).toContain("No costs");
  });
});

describe("an offline run refuses, and says what to change:", () => {
  class Declared extends Strategy {
    readonly #declare: () => PositionTargetNode[];
    constructor(declare: () => PositionTargetNode[]) {
      super({ name: "declared" });
      this.#declare = declare;
    }
    override setup(): void {
      this.addNodes([...this.#declare(), column(bars(), "close")]);
    }
  }
  const target = (instrument: string, source = "day", columns = ["close"], longEnter = 1) =>
    new PositionTargetNode({
      signal: column(bars(columns, source), columns[0]!),
      instrument,
      thresholds: { longEnter },
    });

  test.each([
    ["no target", () => [], "TARGET_MISSING"],
    ["two targets", () => [target("X"), target("X", "day", ["close"], 2)], "TARGET_AMBIGUOUS"],
    ["an unknown instrument", () => [target("Y")], "INSTRUMENT_UNKNOWN"],
    ["an unknown source", () => [target("X", "night")], "SOURCE_UNKNOWN"],
    ["an unknown column", () => [target("X", "day", ["volume"])], "COLUMN_UNKNOWN"],
  ] as const)("%s", async (_what, declare, reason) => {
    const strategy = new Declared(() => [...declare()]);
    await expect(Runner.offline(strategy, { config })).rejects.toMatchObject({ reason });
  });

  test("a range without bars, telling onError", async () => {
    const strategy = new Threshold();
    const range = { from: "2021-01-01", until: "2021-02-01" };
    await expect(Runner.offline(strategy, { config, ...range })).rejects.toMatchObject({
      reason: "RANGE_EMPTY",
    });
    expect(strategy.told.at(-2)).toContain(
      "no bar between from and until: the last bar up to until",
    );
  });

  test("a history that begins at the feed's start, telling what start means", async () => {
    const { day } = config.sources;
    const own = { ...day!, history_file: null, start: "2019-06-01" };
    const run = Runner.offline(Threshold, { config: { ...config, sources: { day: own } } });

    await expect(run).rejects.toThrow(
      'none of its bars has ended at its "start" (2019-06-01), and a backtest uses those',
    );
  });

  test("rows of a source that is not in the configuration", async () => {
    const night = {
      intervalMs: 1_000,
      schedule: "observed" as const,
      load: () => Promise.reject(new Error("not read")),
      datasetFingerprint: () => Promise.resolve("none"),
    } satisfies BarSource;
    const sources = { night };

    await expect(Runner.offline(Threshold, { config, sources })).rejects.toMatchObject({
      reason: "SOURCE_UNKNOWN",
    });
  });

  test.each([
    ["a path", "strategy.ts"],
    ["nothing", undefined],
    ["another class", class Other {}],
    ["a function", () => Threshold],
    ["an object", {}],
  ])("%s instead of a strategy, as plain JavaScript may have it", async (_what, given) => {
    const run = Runner.offline(given as unknown as StrategyClass, { config });

    await expect(run).rejects.toMatchObject({ reason: "STRATEGY_NOT_EXPORTED" });
    await expect(run).rejects.toThrow("give a class that extends Strategy");
  });

  test("a run in no world", async () => {
    const run = Runner.run(Threshold, { config, worldId: "" });

    await expect(run).rejects.toThrow("worldId is needed");
  });

  test("a function whose file nobody told", async () => {
    class Homeless extends Strategy {
      override setup(): void {
        const close = column(bars(), "close");
        this.addNodes([
          new ProcessingNode({ inputs: { close }, period: 1, compute: (w) => w.close.latest() }),
        ]);
      }
    }
    await expect(Runner.offline(Homeless, { config })).rejects.toMatchObject({
      reason: "MODULE_UNKNOWN",
    });
  });
});
