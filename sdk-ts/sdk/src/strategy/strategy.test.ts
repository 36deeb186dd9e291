import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { compilePlan, runBatch, StepExecutor } from "@qmtl/core/dataflow";
import { describe, expect, test } from "vitest";
import { assignIds, compileStrategy, type HashNode, toRuntimeGraph } from "./graphs.ts";
import * as q from "./index.ts";

const DAY = 86_400_000;

/** Stands in for the real node id: a hash of the content as text. */
const hashNode: HashNode = ({ code, ...rest }) => {
  const text = code.kind === "builtin" ? code : { ...code, fn: code.fn.toString() };
  return createHash("sha256")
    .update(JSON.stringify({ ...rest, code: text }))
    .digest("hex");
};

function bars(options: Partial<q.StreamInputOptions> = {}): q.StreamInput {
  return new q.StreamInput({
    name: "bars",
    source: "spx",
    columns: ["open", "high", "low", "close"],
    instrument: "SPX",
    interval: "1d",
    ...options,
  });
}

class Trend extends q.Strategy {
  seenWorld = "";

  override setup(): void {
    this.seenWorld = this.worldId;
    const close = q.column(bars(), "close", { name: "close" });
    const vol20 = q.volatility(q.returns(close, { name: "ret1" }), 20, { name: "vol20" });
    const distance = new q.ProcessingNode({
      name: "distance",
      inputs: { close, mean: q.sma(close, 200, { name: "sma200" }), vol: vol20 },
      period: 1,
      params: { days: 20 },
      compute: (w, p) =>
        (w.close.latest() / w.mean.latest() - 1) / (w.vol.latest() * Math.sqrt(Number(p.days))),
    });
    const thresholds = { longEnter: 0.5, longExit: -0.5 };
    this.addNodes([
      new q.PositionTargetNode({ name: "target", signal: distance, instrument: "SPX", thresholds }),
    ]);
  }
}

class Swing extends q.Strategy {
  override setup(): void {
    const close = q.column(bars(), "close", { name: "close" });
    const vol20 = q.volatility(q.returns(close), 20);
    const swing = new q.ProcessingNode({
      name: "swing",
      inputs: { rsi: q.rsi(close, 3), vol: vol20 },
      period: 1,
      compute: (w) =>
        Number.isNaN(w.vol.latest())
          ? null
          : w.vol.latest() * Math.sqrt(252) > 0.4
            ? 0
            : (50 - w.rsi.latest()) / 50,
    });
    const thresholds = { longEnter: 0.6, longExit: 1e-4, shortEnter: -0.6, shortExit: -1e-4 };
    this.addNodes([
      new q.PositionTargetNode({ name: "target", signal: swing, instrument: "SPX", thresholds }),
    ]);
  }
}

const compile = (strategy: q.Strategy) =>
  assignIds(compileStrategy(strategy, { worldId: "w1" }), hashNode);

test("two strategies share the nodes they have in common, by id", () => {
  const trend = compile(new Trend());
  const swing = compile(new Swing());

  const ids = new Set([...trend.nodes, ...swing.nodes].map((node) => node.id));

  expect([trend.nodes.length, swing.nodes.length, ids.size]).toEqual([7, 7, 10]);
});

test("the world is readable in setup and takes no part in any id", () => {
  const strategy = new Trend();
  const other = assignIds(compileStrategy(strategy, { worldId: "w2" }), hashNode);

  expect(strategy.seenWorld).toBe("w2");
  expect(other.nodes.map((node) => node.id)).toEqual(
    compile(new Trend()).nodes.map((node) => node.id),
  );
  expect(() => new Trend().worldId).toThrow("from setup() on");
});

class Ordered extends q.Strategy {
  readonly #reversed: boolean;

  constructor(reversed: boolean) {
    super({ defaultInterval: "1d", defaultPeriod: 5 });
    this.#reversed = reversed;
  }

  override setup(): void {
    const close = q.column(bars(), "close");
    const nodes = [q.sma(close, 3), q.ema(close, 3), q.sma(q.column(bars(), "close"), 3)];
    this.addNodes(this.#reversed ? nodes.reverse() : nodes);
    this.addNodeset({ nodes: [q.rsi(close, 2)] });
  }
}

test("the order of declaration changes neither ids nor their order, and equal content is one node", () => {
  const one = compile(new Ordered(false));
  const two = compile(new Ordered(true));

  expect(one.nodes.map((node) => node.id)).toEqual(two.nodes.map((node) => node.id));
  expect(one.nodes.length).toBe(5); // "bars" was declared twice
  expect(one.leaves.length).toBe(3);
});

test("a name is not part of a stream's identity; source, tags, schedule and columns are", () => {
  const id = (options: Partial<q.StreamInputOptions>) => {
    class One extends q.Strategy {
      override setup(): void {
        this.addNodes([bars(options)]);
      }
    }
    return compile(new One()).nodes[0]!.id;
  };

  expect(id({ name: "x" })).toBe(id({}));
  expect(id({ tags: ["b", "a"] })).toBe(id({ tags: ["a", "b"] }));
  const others = [
    { source: "ndx" },
    { tags: ["a"] },
    { schedule: "continuous" as const },
    { columns: ["close"] },
    { instrument: "X" },
    { interval: "1h" },
  ];
  expect(new Set([{}, ...others].map(id)).size).toBe(others.length + 1);
});

test("the windows of a node without a period have the strategy's default, otherwise one row", () => {
  const periodsOf = (defaultPeriod?: number) => {
    class Reader extends q.Strategy {
      override setup(): void {
        const close = q.column(bars(), "close");
        const mean = new q.ProcessingNode({ inputs: { close }, compute: (w) => w.close.length });
        this.addNodes([mean, q.derive({ close }, (x) => x.close)]);
      }
    }
    const { nodes } = compile(new Reader({ defaultPeriod }));
    return Object.fromEntries(
      nodes.map(({ declared, hashable }) => [declared.node.nodeType, hashable.period]),
    );
  };

  expect(periodsOf()).toEqual({ StreamInput: 1, column: 1, ProcessingNode: 1, derive: 1 });
  expect(periodsOf(5)).toEqual({ StreamInput: 1, column: 1, ProcessingNode: 5, derive: 1 });
});

test("swapped inputs are another node", () => {
  const make = (swap: boolean) => {
    class Difference extends q.Strategy {
      override setup(): void {
        const [a, b] = [q.column(bars(), "high"), q.column(bars(), "low")];
        const inputs = swap ? { x: b, y: a } : { x: a, y: b };
        this.addNodes([
          new q.ProcessingNode({ inputs, period: 1, compute: (w) => w.x.latest() - w.y.latest() }),
        ]);
      }
    }
    return compile(new Difference()).leaves[0];
  };

  expect(make(true)).not.toBe(make(false));
});

interface Csv {
  endMs: Float64Array;
  columns: Float64Array[];
}

function readBars(): Csv {
  const file = new URL(
    "../../../../node_modules/vega-datasets/data/sp500-2000.csv",
    import.meta.url,
  );
  const lines = readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.split(","));
  return {
    endMs: Float64Array.from(lines, (cells) => Date.parse(`${cells[0]}T00:00:00Z`) + DAY),
    columns: [1, 2, 3, 4].map((k) => Float64Array.from(lines, (cells) => Number(cells[k]))),
  };
}

test("on real bars both executors give the targets that slow code gives", () => {
  const graph = compile(new Trend());
  const target = graph.leaves[0]!;
  const source = graph.nodes.find((node) => node.declared.node instanceof q.StreamInput)!.id;
  const plan = compilePlan({
    graph: toRuntimeGraph(graph),
    supplied: [source],
    wanted: [target],
  });
  const data = readBars();
  const close = data.columns[3]!;

  const result = runBatch({ plan, inputs: [{ nodeId: source, ...data }], collect: [target] });
  const step = new StepExecutor(plan);
  const stepped: number[] = [];
  data.endMs.forEach((endMs, row) => {
    step.push(
      step.handle(source),
      row,
      endMs,
      data.columns.map((column) => column[row]),
    );
    step.step(endMs);
    stepped.push(step.value(step.handle(target)));
  });

  let side = 0;
  const slow = [...close].map((price, i) => {
    if (i < 199) return 0;
    const mean = (xs: number[]) => xs.reduce((a, b) => a + b, 0) / xs.length;
    const ret = [...close.slice(i - 20, i + 1)]
      .map((x, k, all) => x / (all[k - 1] ?? Number.NaN) - 1)
      .slice(1);
    const squares = ret.reduce((sum, r) => sum + (r - mean(ret)) ** 2, 0);
    const vol = Math.sqrt(squares / (ret.length - 1));
    const distance = (price / mean([...close.slice(i - 199, i + 1)]) - 1) / (vol * Math.sqrt(20));
    side = side === 1 ? (distance < -0.5 ? 0 : 1) : distance >= 0.5 ? 1 : 0;
    return side;
  });
  expect([...result.columns.get(target)!.values[0]!]).toEqual(slow);
  expect(stepped).toEqual(slow);
  expect([...result.evaluations.values()]).toEqual(new Array(6).fill(5105));
});

test("a tag query runs over the queues found, in order of their ids, and not before", () => {
  class Query extends q.Strategy {
    override setup(): void {
      this.addNodes([
        new q.TagQueryNode({
          name: "tagged",
          queryTags: ["mom"],
          interval: "1d",
          period: 1,
          compute: (ws) => ws.reduce((sum, w, k) => sum + (k + 1) * w.latest(), 0),
        }),
      ]);
    }
  }
  const graph = compile(new Query());
  const clock = { key: "observed:spx:1", schedule: "observed" as const, intervalMs: DAY };
  const matches = ["b", "a"].map((nodeId) => ({ nodeId, name: nodeId, clock }));

  expect(() => toRuntimeGraph(graph)).toThrow("no queue carries the tags mom yet");
  const runtime = toRuntimeGraph(graph, { tagMatches: new Map([[graph.leaves[0]!, matches]]) });
  const plan = compilePlan({ graph: runtime, supplied: ["a", "b"], wanted: graph.leaves });
  const inputs = ["a", "b"].map((nodeId, k) => ({
    nodeId,
    endMs: Float64Array.of(DAY),
    columns: [Float64Array.of(10 ** k)],
  }));

  expect([
    ...runBatch({ plan, inputs, collect: graph.leaves }).columns.get(graph.leaves[0]!)!.values[0]!,
  ]).toEqual([21]);
});

test("an option that is undefined is as good as left out, and params keep their types", () => {
  const none = undefined as string | undefined; // as an editor with exactOptionalPropertyTypes sees it
  const close = q.column(bars({ schema: none, name: none }), "close");
  const node = new q.ProcessingNode({
    name: none,
    inputs: { close },
    period: 1,
    params: { scale: 2, weights: [1, 2] },
    compute: (windows, { scale, weights }) => windows.close.latest() * scale + weights.length,
  });
  const plain: q.ProcessingNode<"close"> = node;
  const thresholds = { longEnter: 1, longExit: undefined };
  const target = new q.PositionTargetNode({ signal: plain, instrument: "SPX", thresholds });

  expect(node.givenName).toBeUndefined();
  expect(node.params).toEqual({ scale: 2, weights: [1, 2] });
  expect(target.params).toMatchObject({ long_exit: null, hold_weight: 0 });
});

test("what a node reads cannot be changed afterwards, so that no graph has a cycle", () => {
  const close = q.column(bars(), "close");
  const mean = q.sma(close, 3);

  const add = () => (mean.inputs as q.StrategyNode["inputs"] & unknown[]).push(mean.inputs[0]);

  expect(add).toThrow(TypeError);
});

describe("a wrong declaration is refused by the name of its field", () => {
  const close = q.column(bars(), "close");
  const processing = (options: object) => () =>
    new q.ProcessingNode({ inputs: { close }, period: 1, compute: () => 1, ...options });
  const target = (thresholds: q.PositionThresholds) => () =>
    new q.PositionTargetNode({ signal: close, instrument: "SPX", thresholds });
  const weight = (options: Partial<q.WeightTargetNodeOptions>) => () =>
    new q.WeightTargetNode({ signal: close, instrument: "SPX", ...options });
  test.each<[string, string, () => unknown]>([
    ['StreamInput "bars".interval', "not an interval", () => bars({ interval: "2w" })],
    ['StreamInput "bars".interval', "1..86400", () => bars({ interval: "2d" })],
    ['StreamInput "bars".interval', "1..86400", () => bars({ interval: 0 })],
    ["ProcessingNode.period", "1..10000", processing({ period: 10_001 })],
    ["StreamInput.tags", "duplicate", () => bars({ tags: ["a", "a"] })],
    ["StreamInput.tags", "characters", () => bars({ tags: ["a b"] })],
    ["StreamInput.name", "1..200", () => bars({ name: "x".repeat(201) })],
    ["StreamInput.columns", "must not be empty", () => bars({ columns: [] })],
    ["ProcessingNode.inputs", "at least one upstream", processing({ inputs: {} })],
    [
      "ProcessingNode.inputs.bars",
      "4 columns (open, high, low, close); pick one",
      processing({ inputs: { bars: bars() } }),
    ],
    ["ProcessingNode.inputs", "not an identifier", processing({ inputs: { 1: close } })],
    ["ProcessingNode.compute", "nothing else", processing({ compute: (_a: 1, _b: 2, _c: 3) => 1 })],
    ["ProcessingNode.compute", "plain function", processing({ compute: async () => 1 })],
    ["ProcessingNode.params.world_id", "is reserved", processing({ params: { world_id: "w" } })],
    [
      "ProcessingNode.params.deep.Env_name",
      "is reserved",
      processing({ params: { deep: { Env_name: 1 } } }),
    ],
    ["ProcessingNode.params.x", "finite", processing({ params: { x: Number.NaN } })],
    ["ProcessingNode.params.x", "plain JSON", processing({ params: { x: new Date(0) } })],
    ["ProcessingNode.onMissing", "must be skip, nan,", processing({ onMissing: "ignore" })],
    ["sma.window", "1..10000", () => q.sma(close, 0)],
    ["stddev.window", "2..10000", () => q.stddev(close, 1)],
    [
      "column.column",
      '"volume" is not a column of the node; it has open, high, low, close',
      () => q.column(bars(), "volume"),
    ],
    ["PositionTargetNode.thresholds", "needs longEnter or shortEnter", target({})],
    ["WeightTargetNode.weightMin", "must not be above weightMax", weight({ weightMin: 2 })],
    ["WeightTargetNode.weightMin", "must include 0", weight({ weightMin: 0.1 })],
    ["WeightTargetNode.step", "must be 0 or above", weight({ step: -1 })],
    [
      "PositionTargetNode.thresholds.longExit",
      "above longEnter",
      target({ longEnter: 1, longExit: 2 }),
    ],
    [
      "PositionTargetNode.thresholds.shortEnter",
      "below longEnter",
      target({ longEnter: 1, shortEnter: 1 }),
    ],
    [
      "TagQueryNode.queryTags",
      "must not be empty",
      () => new q.TagQueryNode({ queryTags: [], interval: 60, compute: () => 1 }),
    ],
  ])("%s: %s", (field, problem, declare) => {
    expect(declare).toThrow(q.DeclarationError);
    expect(declare).toThrow(`${field}: `);
    expect(declare).toThrow(problem);
  });

  test("two nodes of one given name, a strategy without nodes, and a missing interval or period", () => {
    const of = (...nodes: q.StrategyNode[]) => {
      class Any extends q.Strategy {
        override setup(): void {
          this.addNodes(nodes);
        }
      }
      return () => compile(new Any());
    };

    expect(of(q.sma(close, 2, { name: "x" }), q.sma(close, 3, { name: "x" }))).toThrow(
      '"x": is the name of two nodes',
    );
    expect(of()).toThrow('Strategy "Any": has no nodes');
    expect(of(new q.StreamInput({ source: "s", columns: ["c"] }))).toThrow(
      'StreamInput "s".interval: is needed',
    );
  });
});

test.each([
  [60, 60],
  ["60s", 60],
  ["1m", 60],
  ["1h", 3600],
  ["1d", 86_400],
])("interval %s is %i seconds", (input, seconds) => {
  expect(q.parseInterval("interval", input)).toBe(seconds);
});

test("a compute function that returns no number is named with its bar", () => {
  class Wrong extends q.Strategy {
    override setup(): void {
      const inputs = { close: q.column(bars(), "close") };
      const compute = (): number => JSON.parse('"text"');
      this.addNodes([new q.ProcessingNode({ name: "wrong", inputs, period: 1, compute })]);
    }
  }
  const graph = compile(new Wrong());
  const source = graph.nodes[0]!.id;
  const plan = compilePlan({
    graph: toRuntimeGraph(graph),
    supplied: [source],
    wanted: graph.leaves,
  });
  const input = {
    nodeId: source,
    endMs: Float64Array.of(DAY),
    columns: [0, 1, 2, 3].map(() => Float64Array.of(1)),
  };

  expect(() => runBatch({ plan, inputs: [input], collect: [] })).toThrow(
    'node "wrong" at row 0 (bucket ending 1970-01-02T00:00:00.000Z) failed: compute returned string',
  );
});
