import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { domainOfMode } from "@qmtl/core/gate";
import * as q from "@qmtl/sdk";
import { compileStrategy, identifyStrategy } from "@qmtl/sdk/platform";
import {
  barsOfCloses,
  barsProject,
  constantBars,
  FakeGateway,
  ManualClock,
  randomWalkBars,
  runOnBars,
  waitUntil,
  withColumn,
} from "@qmtl/sdk/testing";
import { describe, expect, test } from "vitest";

/** What the workflow guide shows of the SDK, section by section, as a reader would write it in TypeScript. */

const minute = { interval: 60 } as const;

function alpha(): q.StrategyNode {
  return new q.StreamInput({ source: "alpha", columns: ["alpha"], tags: ["alpha"], ...minute });
}

function price(): q.StrategyNode {
  return new q.StreamInput({ source: "price", columns: ["close"], tags: ["price"], ...minute });
}

/** Section 3a's example. */
class IntentFirstStrategy extends q.Strategy {
  override setup(): void {
    const signal = alpha();
    const priceNode = price();
    const nodeset = q.makeIntentFirstNodeset({
      signal,
      worldId: this.worldId,
      instrument: "BTCUSDT",
      priceNode,
      thresholds: q.INTENT_FIRST_DEFAULT_THRESHOLDS,
      longWeight: 0.25,
      shortWeight: -0.1,
    });
    this.addNodes([signal, priceNode]);
    this.addNodeset(nodeset);
  }
}

const signals = [0, 0.7, 0.3, 0.1, -0.7, -0.3, -0.1, 0];
const minuteBars = constantBars({ count: signals.length, interval: "1m" });
const intentFirstBars = {
  alpha: withColumn(minuteBars, "alpha", (row) => signals[row]!),
  price: minuteBars,
};
const atPrice = { instruments: { BTCUSDT: { source: "price", lot: "0.001" } }, noCosts: true };

const compiled = (strategy: q.Strategy, worldId = "w") => compileStrategy(strategy, { worldId });
const idsOf = (strategy: q.Strategy, worldId = "w") =>
  identifyStrategy(strategy, { worldId, module: import.meta.url }).graph.nodes.map(({ id }) => id);

/** A strategy of the given nodes. */
function strategyOf(make: () => readonly q.StrategyNode[]): q.Strategy {
  class Of extends q.Strategy {
    override setup(): void {
      this.addNodes(make());
    }
  }
  return new Of();
}

describe("3. each strategy subclasses Strategy and defines a setup method that wires up node instances", () => {
  test("useful base classes include StreamInput, TagQueryNode and ProcessingNode", () => {
    const graph = compiled(
      strategyOf(() => [
        new q.ProcessingNode({
          inputs: { price: price() },
          ...minute,
          compute: (windows) => windows.price.latest(),
        }),
        new q.TagQueryNode({ queryTags: ["alpha"], ...minute, compute: (found) => found.length }),
      ]),
    );

    expect(graph.nodes.map(({ node }) => node.nodeType).sort()).toEqual([
      "ProcessingNode",
      "StreamInput",
      "TagQueryNode",
    ]);
    expect(graph.nodes.every(({ intervalSeconds }) => intervalSeconds === 60)).toBe(true);
  });

  test.each([
    ["any", 3],
    ["all", 2],
  ] as const)(
    "a TagQueryNode takes the streams that carry %s of its tags",
    async (matchMode, sum) => {
      const stream = (source: string, tags: string[]) =>
        new q.StreamInput({ source, columns: ["close"], tags, ...minute });
      const given = strategyOf(() => {
        const streams = [stream("a", ["momentum", "spot"]), stream("b", ["momentum"])];
        const signal = new q.TagQueryNode({
          queryTags: ["momentum", "spot"],
          matchMode,
          ...minute,
          compute: (found) => found.reduce((total, window) => total + window.latest(), 0),
        });
        const thresholds = { longEnter: sum };
        return [...streams, new q.PositionTargetNode({ signal, instrument: "a", thresholds })];
      });
      const bars = {
        a: barsOfCloses([2, 2, 2], { interval: 60 }),
        b: barsOfCloses([1, 1, 1], { interval: 60 }),
      };

      const result = await runOnBars(given, bars, { module: import.meta.url });

      expect(result.fills).toHaveLength(1);
    },
  );

  test("the node set and the world are at hand: addNodes, addNodeset, this.worldId", () => {
    const seen: string[] = [];
    class Seeing extends IntentFirstStrategy {
      override setup(): void {
        seen.push(this.worldId);
        super.setup();
      }
    }

    compiled(new Seeing(), "crypto");

    expect(seen).toEqual(["crypto"]);
    expect(() => new Seeing().worldId).toThrow("known from setup() on");
  });

  test("no id depends on the world, the names or the order of declaration", () => {
    expect(idsOf(new IntentFirstStrategy(), "a")).toEqual(idsOf(new IntentFirstStrategy(), "b"));
    expect(idsOf(strategyOf(() => [alpha(), price()])).sort()).toEqual(
      idsOf(strategyOf(() => [price(), alpha()])).sort(),
    );
  });
});

/** Records every call; the method named in `fails` throws. */
class Noting extends IntentFirstStrategy {
  readonly calls: string[] = [];
  readonly #fails: string | undefined;
  readonly #isAsync: boolean;
  constructor({ fails, isAsync = false }: { fails?: string; isAsync?: boolean } = {}) {
    super();
    this.#fails = fails;
    this.#isAsync = isAsync;
  }
  #note(call: string, detail = ""): void | Promise<void> {
    const act = (): void => {
      this.calls.push(`${call}${detail}`);
      if (call === this.#fails) throw new Error(`${call} failed`);
    };
    if (!this.#isAsync) return act();
    return new Promise((resolve) => setImmediate(resolve)).then(act);
  }
  override onStart() {
    return this.#note("onStart");
  }
  override onSignal({ target }: q.TargetSignal) {
    return this.#note("onSignal", ` ${target}`);
  }
  override onFill({ side, quantity }: q.StrategyFill) {
    return this.#note("onFill", ` ${side} ${quantity}`);
  }
  override onError(error: Error) {
    return this.#note("onError", `: ${error.message}`);
  }
  override onFinish() {
    return this.#note("onFinish");
  }
}

const callsOfAllWell = [
  "onStart",
  "onSignal 0.25",
  "onFill buy 2500",
  "onSignal 0",
  "onFill sell 2500",
  "onSignal -0.1",
  "onFill sell 1000",
  "onSignal 0",
  "onFill buy 1000",
  "onFinish",
];

describe("3. the five callbacks of a strategy, offline", () => {
  test.each([false, true])("come in the order things happened; async %s", async (isAsync) => {
    const strategy = new Noting({ isAsync });

    await runOnBars(strategy, intentFirstBars, atPrice);

    expect(strategy.calls).toEqual(callsOfAllWell);
  });

  test.each([
    ["onStart", false],
    ["onSignal", false],
    ["onFill", false],
    ["onSignal", true],
    ["onFill", true],
  ])(
    "a throwing %s (async %s) ends the run: onError, onFinish, and the run rejects with it",
    async (fails, isAsync) => {
      const strategy = new Noting({ fails, isAsync });

      await expect(runOnBars(strategy, intentFirstBars, atPrice)).rejects.toThrow(
        `${fails} failed`,
      );

      const before = callsOfAllWell.findIndex((call) => call.startsWith(fails));
      expect(strategy.calls).toEqual([
        ...callsOfAllWell.slice(0, before + 1),
        `onError: ${fails} failed`,
        "onFinish",
      ]);
    },
  );

  test("a node that throws is told to onError with its name and bar", async () => {
    const errors: string[] = [];
    class Throwing extends q.Strategy {
      override setup(): void {
        const signal = new q.ProcessingNode({
          name: "broken",
          inputs: { price: price() },
          ...minute,
          compute: () => {
            throw new Error("division by nothing");
          },
        });
        this.addNodeset(q.makeIntentFirstNodeset({ signal, instrument: "BTCUSDT" }));
      }
      override onError(error: Error): void {
        errors.push(error.message);
      }
    }

    const run = runOnBars(new Throwing(), minuteBars, { module: import.meta.url });

    await expect(run).rejects.toThrow("division by nothing");
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain('node "broken" at row 0 (bucket ending 2020-01-01T00:01:00.000Z)');
  });
});

describe("3a. the intent-first pipeline", () => {
  test("a PositionTargetNode converts a signal into target allocations, the node set into orders", async () => {
    const result = await runOnBars(IntentFirstStrategy, intentFirstBars, atPrice);

    // 1,000,000 of cash at a price of 100: a quarter long is 2,500, a tenth short 1,000.
    expect(result.fills.map(({ side, quantity }) => `${side} ${quantity}`)).toEqual([
      "buy 2500",
      "sell 2500",
      "sell 1000",
      "buy 1000",
    ]);
    expect(result.nodes.map(({ type }) => type).sort()).toEqual([
      "StreamInput",
      "StreamInput",
      "position_target",
    ]);
  });

  test("a StreamInput of tags, interval and period alone is refused with what to write", () => {
    const seeds = { tags: ["alpha"], interval: 60 };

    const make = (more: object = {}) =>
      new q.StreamInput({ ...seeds, ...more } as unknown as q.StreamInputOptions);

    expect(make).toThrow(q.DeclarationError);
    expect(() => make({ period: 1 })).toThrow("StreamInput.period: is no option; delete it");
    expect(make).toThrow('StreamInput.source: name the entry of "sources:" in qmtl.yml');
  });

  test("tune thresholds, initialCash or executionModel to match your hysteresis bands and sizing seeds", async () => {
    class Tuned extends q.Strategy {
      override setup(): void {
        const nodeset = q.makeIntentFirstNodeset({
          signal: alpha(),
          instrument: "BTCUSDT",
          priceNode: price(),
          thresholds: { longEnter: 0.2, longExit: 0.05 },
          initialCash: 10_000,
          executionModel: { costs: { feeBps: 10, halfSpreadBps: 0 } },
        });
        this.addNodeset(nodeset);
      }
    }

    const { fills, equity, costs } = await runOnBars(Tuned, intentFirstBars, {
      instruments: atPrice.instruments,
    });

    expect(equity[0]).toBe(10_000);
    expect(fills.map(({ side, quantity }) => `${side} ${quantity}`)).toEqual([
      "buy 100",
      "sell 100",
    ]);
    expect(costs.fees).toBeCloseTo(2 * 10_000 * 0.001, 9);
  });

  test("IntentFirstAdapter has its signal and price bound from outside", () => {
    const adapter = new q.IntentFirstAdapter({ instrument: "BTCUSDT", longWeight: 0.25 });

    const bound = adapter.bind({ signal: alpha(), price: price() });
    const written = q.makeIntentFirstNodeset({
      signal: alpha(),
      priceNode: price(),
      instrument: "BTCUSDT",
      longWeight: 0.25,
    });

    expect(adapter.ports).toEqual(["signal", "price"]);
    expect(idsOf(strategyOf(() => bound.nodes))).toEqual(idsOf(strategyOf(() => written.nodes)));
  });
});

describe("intervals are 60, 60s, 1m, 1h wherever one is taken", () => {
  test.each([
    [60, "60s", "1m", "60"],
    [3_600, "3600s", "60m", "1h"],
    [86_400, "1440m", "24h", "1d"],
  ])("%j, %j, %j and %j are one interval: equal nodes", (...equal) => {
    const make = (interval: q.IntervalInput) => {
      const stream = new q.StreamInput({ source: "s", columns: ["c"], interval });
      const query = { queryTags: ["t"], compute: () => 1, interval, period: 1 };
      return [stream, q.sma(stream, 3, { name: "mean" }), new q.TagQueryNode(query)];
    };
    class Default extends q.Strategy {
      override setup(): void {
        this.addNodes([new q.StreamInput({ source: "s", columns: ["c"] })]);
      }
    }
    const ids = equal.map((interval) => idsOf(strategyOf(() => make(interval))));
    const defaults = equal.map((defaultInterval) => idsOf(new Default({ defaultInterval })));

    for (const each of ids) expect(each).toEqual(ids[0]);
    for (const each of defaults) expect(each).toEqual(defaults[0]);
    expect(ids[0]).toContain(defaults[0]![0]);
  });

  test("in the configuration, too", async () => {
    const sources = {
      seconds: constantBars({ count: 1, interval: 60 }),
      text: constantBars({ count: 1, interval: "60s" }),
    };
    await using project = await barsProject(sources);

    expect(sources.text).toEqual(sources.seconds);
    expect(project.config.sources.seconds?.interval).toBe(60);
  });

  test("a bad one of a source is refused by the path of its key", () => {
    const folder = mkdtempSync(join(tmpdir(), "seed-surface-"));
    const path = join(folder, "qmtl.yml");
    const texts = ["0", "-1", "1.5", '""', "1x", "1M", "1e9", ".nan", "null", "2d"];
    const lines = texts.map((text, k) => `  s${k}: {file: bars.csv, interval: ${text}}`);
    writeFileSync(path, `sources:\n${lines.join("\n")}\n`);

    const refused = (): unknown => {
      try {
        return q.loadConfig({ path, env: {} });
      } catch (error) {
        return error;
      } finally {
        rmSync(folder, { recursive: true });
      }
    };

    expect(refused()).toMatchObject({
      reason: "CONFIG_INVALID",
      issues: texts.map((_, k) => ({ path: `sources.s${k}.interval`, line: k + 2 })),
    });
  });

  const bad = [0, -1, 1.5, "", "1x", "1M", 1e9, Number.NaN, null, "1.5m", "-1h", "2d", true];
  test.each(bad)("%j is refused by the name of its field", (value) => {
    const interval = value as q.IntervalInput;
    const fields: [string, () => unknown][] = [
      ["StreamInput.interval", () => new q.StreamInput({ source: "s", columns: ["c"], interval })],
      [
        "TagQueryNode.interval",
        () => new q.TagQueryNode({ queryTags: ["t"], interval, compute: () => 1 }),
      ],
      [
        "ProcessingNode.interval",
        () => new q.ProcessingNode({ inputs: { a: alpha() }, interval, compute: () => 1 }),
      ],
      [
        "Strategy.defaultInterval",
        () =>
          new (class extends IntentFirstStrategy {
            constructor() {
              super({ name: "x", defaultInterval: interval });
            }
          })(),
      ],
    ];
    for (const [field, make] of fields) {
      expect(make, field).toThrow(q.DeclarationError);
      expect(make, field).toThrow(`${field}: `);
    }
    expect(() => constantBars({ count: 1, interval })).toThrow(RangeError);
  });
});

describe("4. execute with worlds", () => {
  test.each([
    ["validate", "backtest"],
    ["compute-only", "backtest"],
    ["paper", "dryrun"],
    ["live", "live"],
    ["shadow", "shadow"],
  ] as const)("%s is the %s domain", (mode, domain) => {
    expect(domainOfMode(mode)).toBe(domain);
  });

  test("Runner.offline needs no service and knows its world as offline", async () => {
    const worlds: string[] = [];
    class Asking extends IntentFirstStrategy {
      override setup(): void {
        super.setup();
        worlds.push(this.worldId);
      }
    }
    await using project = await barsProject(intentFirstBars, { instruments: atPrice.instruments });

    const result = await q.Runner.offline(Asking, { config: project.config });

    expect(new Set(worlds)).toEqual(new Set(["offline"]));
    expect(result.returns.source).toBe("backtest");
  });
});

/** A strategy on the fake gateway's feed, with its calls. */
class OnFeed extends q.Strategy {
  readonly calls: string[] = [];
  readonly #fails: string | undefined;
  readonly #isAsync: boolean;
  #starts = 0;
  constructor(fails?: string, isAsync = false) {
    super();
    this.#fails = fails;
    this.#isAsync = isAsync;
  }
  override setup(): void {
    const signal = new q.StreamInput({
      source: "feed",
      columns: ["close"],
      interval: "1d",
    });
    const thresholds = { longEnter: 100, longExit: 100 };
    this.addNodes([new q.PositionTargetNode({ signal, instrument: "X", thresholds })]);
  }
  /** Fails once the backtest of the declared history, which comes first, is over. */
  #note(call: string): void | Promise<void> {
    this.calls.push(call);
    if (call === "onStart") this.#starts++;
    if (call !== this.#fails || this.#starts < 2) return;
    const error = new Error(`${call} failed`);
    if (this.#isAsync) return Promise.reject(error);
    throw error;
  }
  override onStart() {
    return this.#note("onStart");
  }
  override onSignal() {
    return this.#note("onSignal");
  }
  override onError(error: Error): void | Promise<void> {
    this.calls.push(`onError ${error.message}`);
  }
  override onFinish() {
    return this.#note("onFinish");
  }
}

async function onFakeGateway() {
  const gateway = new FakeGateway();
  const feed = randomWalkBars({ count: 30, seed: 3, volatility: 0.02 });
  const project = await barsProject({ feed }, { instruments: { X: {} } });
  const problems: string[] = [];
  return {
    gateway,
    problems,
    options: {
      worldId: gateway.worldId,
      config: project.config,
      connection: gateway.connection(),
      onProblem: (problem: string) => void problems.push(problem),
    },
    [Symbol.asyncDispose]: () => project[Symbol.asyncDispose](),
  };
}

describe("4a. intent, rebalancing, execution", () => {
  test("orders_from_world_plan turns the deltas of a plan into orders, reductions first", () => {
    const of = { worldId: "crypto", venue: "binance" };
    const plan: q.WorldPlan = {
      deltas: [
        { ...of, strategyId: "s1", instrument: "ETHUSDT", quantity: "1.57", reduces: false },
        { ...of, strategyId: "s2", instrument: "BTCUSDT", quantity: "-0.3339", reduces: true },
        { ...of, strategyId: "s2", instrument: "SOLUSDT", quantity: "0.004", reduces: false },
      ],
    };

    const orders = q.ordersFromWorldPlan(plan, {
      instruments: [
        { instrument: "BTCUSDT", lot: "0.001" },
        { instrument: "ETHUSDT", lot: "0.1" },
        { instrument: "SOLUSDT", lot: "0.01" },
      ],
    });

    const rest = { ...of, timeInForce: "GTC" };
    const sell = { strategyId: "s2", instrument: "BTCUSDT", side: "sell", quantity: "-0.333" };
    const buy = { strategyId: "s1", instrument: "ETHUSDT", side: "buy", quantity: "1.5" };
    expect(orders).toEqual([
      { ...rest, ...sell, reduceOnly: true },
      { ...rest, ...buy, reduceOnly: false },
    ]);
  });
});

describe("3. the five callbacks of a strategy, online", () => {
  const callsOfRun = ["onStart", ...new Array<string>(6).fill("onSignal"), "onFinish"];

  test.each([false, true])(
    "a throwing onSignal (async %s) is a problem of the run and ends nothing",
    async (isAsync) => {
      await using stage = await onFakeGateway();
      const strategy = new OnFeed("onSignal", isAsync);

      const run = await q.Runner.run(strategy, stage.options);
      await run.done;

      // The backtest of the declared history comes first.
      expect(strategy.calls).toEqual([...callsOfRun, ...callsOfRun]);
      expect(new Set(stage.problems)).toEqual(new Set(["onSignal failed: Error: onSignal failed"]));
    },
  );

  test("a throwing onStart ends the run: onError, onFinish, and done rejects with it", async () => {
    await using stage = await onFakeGateway();
    const strategy = new OnFeed("onStart");

    const run = await q.Runner.run(strategy, stage.options);

    await expect(run.done).rejects.toThrow("onStart failed");
    expect(strategy.calls.slice(callsOfRun.length)).toEqual([
      "onStart",
      "onError onStart failed",
      "onFinish",
    ]);
  });

  test.each([false, true])(
    "an onError that throws itself (async %s) hides no error",
    async (isAsync) => {
      await using stage = await onFakeGateway();
      class Worse extends OnFeed {
        override onError(error: Error) {
          void super.onError(error);
          if (isAsync) return Promise.reject(new Error("no disk"));
          throw new Error("no disk");
        }
      }
      const online = new Worse("onStart");
      const problems: string[] = [];

      const run = await q.Runner.run(online, stage.options);
      class Worst extends Worse {
        override onSignal(): never {
          throw new Error("no market");
        }
      }
      const backtest = runOnBars(Worst, randomWalkBars({ count: 30, seed: 3, volatility: 0.02 }), {
        onProblem: (problem) => void problems.push(problem),
      });

      await expect(run.done).rejects.toThrow("onStart failed");
      await expect(backtest).rejects.toThrow("no market");
      expect(stage.problems).toEqual(["onError failed: Error: no disk"]);
      expect(problems).toEqual(["onError failed: Error: no disk"]);
    },
  );
});

describe("5. test teardown and shutdown", () => {
  test("await using session = await Runner.session(…) ends the run with its scope", async () => {
    await using stage = await onFakeGateway();
    const strategy = new OnFeed();
    {
      await using session = await q.Runner.session(strategy, stage.options);
      await session.done;
      expect(session.status().gate).toBe("SHUT");
    }
    // Once for the backtest of the declared history, once for the run.
    expect(strategy.calls.filter((call) => call === "onStart")).toHaveLength(2);
    expect(strategy.calls.at(-1)).toBe("onFinish");
    expect(strategy.calls).toContain("onSignal");
    expect(stage.problems).toEqual([]);
  });

  test("Runner.shutdown in a finally block is idempotent and safe", async () => {
    await using stage = await onFakeGateway();
    const run = await q.Runner.run(new OnFeed(), stage.options);
    try {
      await waitUntil(() => run.status().strategyId !== "", "the submission");
    } finally {
      await q.Runner.shutdown(run);
    }

    await q.Runner.shutdown(run);
    await expect(run.done).resolves.toBeUndefined();
  });

  test("a manual clock stands until the test moves it", () => {
    const clock = new ManualClock(1_000);
    const fired: number[] = [];
    clock.setTimer(() => fired.push(clock.nowMs()), 500);

    clock.advance(499);
    expect(fired).toEqual([]);
    clock.advance(1);

    expect(fired).toEqual([1_500]);
    expect(clock.timers).toBe(0);
  });
});
