import { compilePlan, runBatch, StepExecutor } from "@qmtl/core/dataflow";
import * as q from "@qmtl/sdk";
import { describe, expect, test } from "vitest";
import { barsOfCloses, randomWalkBars } from "../testing/index.ts";
import { runOnBars } from "../testing/run-on-bars.ts";
import { toRuntimeGraph } from "./graphs.ts";
import { identifiedNode, nodeColumns, numberedNode } from "./testing/node-columns.ts";

const NO = Number.NaN;
const DAY = 86_400_000;
const bars = () => new q.StreamInput({ source: "px", columns: ["close"], interval: "1d" });
const close = () => q.column(bars(), "close");
const content = (node: q.StrategyNode) => identifiedNode(node, import.meta.url).nodes.at(-1)!;

/** Golden case F1: an exponential average with α = 0.5, seeded with the first value. */
const average = (options: object = {}) =>
  new q.FoldNode({
    inputs: { close: close() },
    initial: { v: 0, n: 0 },
    params: { alpha: 0.5 },
    step: (state, x, { alpha }) => {
      state.v = state.n === 0 ? x.close : state.v + alpha * (x.close - state.v);
      state.n++;
      return state.v;
    },
    ...options,
  });

/** Executor of a node over its one stream, with what pushes a close into it. */
function stepping(node: q.StrategyNode) {
  const graph = numberedNode(node);
  const [source, id] = [graph.nodes[0]!.id, graph.nodes.at(-1)!.id];
  const plan = compilePlan({ graph: toRuntimeGraph(graph), supplied: [source], wanted: [id] });
  const executor = new StepExecutor(plan);
  const push = (value: number, row: number) => {
    executor.push(executor.handle(source), row, (row + 1) * DAY, [value]);
    executor.step((row + 1) * DAY);
  };
  const batch = (values: readonly number[]) =>
    runBatch({
      plan,
      inputs: [
        {
          nodeId: source,
          endMs: Float64Array.from(values, (_, row) => (row + 1) * DAY),
          columns: [Float64Array.from(values)],
        },
      ],
      collect: [],
    });
  return { executor, handle: executor.handle(id), push, batch };
}

describe("a fold", () => {
  test("keeps its state over a row without a value, and saves it in the order of its fields' names", () => {
    expect(nodeColumns(average(), { close: [1, NO, 3, 5] }).value).toEqual([...[1, NO, 2, 3.5]]);
    const { executor, handle, push } = stepping(average());
    [1, NO, 3, 5].forEach(push);

    const bytes = executor.save(handle);

    expect([...new Float64Array(bytes.buffer.slice(0))]).toEqual([3, 3.5]); // n, v
  });

  test("has fields of its state as outputs, and arrays and booleans in it", () => {
    const channel = new q.FoldNode({
      inputs: { close: close() },
      initial: { top: Number.NEGATIVE_INFINITY, up: false, count: 0, ring: new Float64Array(2) },
      outputs: ["count", "top"],
      step: (state, x) => {
        const before = state.ring[0]!;
        state.ring[0] = state.ring[1]!;
        state.ring[1] = x.close;
        state.up = x.close > before;
        if (state.up) state.count++;
        state.top = Math.max(state.top, x.close);
      },
    });

    expect(nodeColumns(channel, { close: [3, 1, NO, 2, 4] })).toEqual({
      count: [1, 2, NO, 2, 3],
      top: [3, 3, NO, 3, 4],
    });
    const { executor, handle, push } = stepping(channel);
    [3, 1, NO, 2].forEach(push);
    const saved = new Float64Array(executor.save(handle).buffer);
    expect([...saved]).toEqual([2, 1, 2, 3, 0]); // count, ring, top, up
  });

  test("begins anew in each run: the state that was declared is never changed", () => {
    const ring = new Float64Array(1);
    const total = new q.FoldNode({
      inputs: { close: close() },
      initial: { ring },
      step: (state, x) => {
        state.ring[0] = state.ring[0]! + x.close;
        return state.ring[0];
      },
    });
    ring[0] = 7; // after the declaration

    for (let run = 0; run < 2; run++) {
      expect(nodeColumns(total, { close: [1, 2] }).value).toEqual([1, 3]);
    }
  });

  test("is shown NaN, or what is carried, only once an input had a value", () => {
    const seen = (onMissing: q.OnMissing) =>
      new q.FoldNode({
        inputs: { close: close() },
        initial: { n: 0 },
        onMissing,
        step: (state, x) => {
          state.n++;
          return Number.isNaN(x.close) ? -state.n : x.close;
        },
      });
    const of = (mode: q.OnMissing) => nodeColumns(seen(mode), { close: [NO, 5, NO, NO, 6] }).value;

    expect(of("skip")).toEqual([NO, 5, NO, NO, 6]);
    expect(of("nan")).toEqual([NO, 5, -2, -3, 6]);
    expect(of("carry")).toEqual([NO, 5, 5, 5, 6]);
    expect(of({ carry: 1 })).toEqual([NO, 5, 5, NO, 6]);
    expect(() => of("fail")).toThrow('port "close" has no value');
  });
});

describe("the id of a fold", () => {
  test("holds its params, initial state, memory and outputs, and its modes where they do not skip", () => {
    expect(content(average()).hashable).toMatchObject({
      node_type: "FoldNode",
      period: 1,
      params: { params: { alpha: 0.5 }, initial: { v: 0, n: 0 }, memory: "all" },
      schema_compat_id: "f64:value",
    });
    const options = { memory: 40, outputs: ["v"], onMissing: "carry", name: "mean" };
    expect(content(average(options)).hashable).toMatchObject({
      node_type: "FoldNode",
      params: { memory: 40, outputs: ["v"], on_missing: "carry" },
      schema_compat_id: "f64:v",
    });
    const others = [
      {},
      { name: "x" },
      { memory: 40 },
      { outputs: ["v"] },
      { params: { alpha: 1 } },
    ];
    const more = [{ initial: { v: 0, n: 1 } }, { onMissing: "nan" }];
    const ids = [...others, ...more].map((each) => content(average(each)).id);
    expect(new Set(ids).size).toBe(ids.length - 1); // a name is no part of it
  });

  test("has numbers that JSON lacks as text, and an array of equal numbers by its length", () => {
    const initial = {
      none: NO,
      low: Number.NEGATIVE_INFINITY,
      zero: -0,
      up: true,
      list: Float64Array.of(1, NO),
      ring: new Float64Array(5_000),
      gaps: new Float64Array(2).fill(NO),
    };

    expect(content(average({ initial: { v: 0, n: 0, ...initial } })).hashable.params).toMatchObject(
      {
        initial: {
          ...{ none: "NaN", low: "-Infinity", zero: "-0", up: true, list: [1, "NaN"] },
          ...{ ring: { n: 5_000, fill: 0 }, gaps: { n: 2, fill: "NaN" } },
        },
      },
    );
  });

  test("changes with what its step computes, and not with the names of its variables", () => {
    const inputs = { close: close() };
    const node = (step: (state: { n: number }) => number) =>
      content(new q.FoldNode({ inputs, initial: { n: 0 }, step })).id;

    expect(node((s) => ++s.n)).toBe(node((state) => ++state.n));
    expect(node((s) => ++s.n)).not.toBe(node((s) => s.n++));
  });
});

let outside = 0;

describe("a step may write to its state and to nothing else", () => {
  const node = (step: (state: { n: number }, x: { close: number }) => number) =>
    new q.FoldNode({ inputs: { close: close() }, initial: { n: 0 }, step });

  test.each<[string, () => q.StrategyNode]>([
    ["MUTABLE_STATE", () => node((state, x) => (outside += state.n + x.close))],
    [
      "CAPTURED_LOCAL",
      () => {
        let local = 0;
        return node((state) => (local += ++state.n));
      },
    ],
    ["NONDETERMINISTIC", () => node((state) => (state.n = Date.now()))],
  ])("otherwise it is refused as %s", (reason, make) => {
    expect(outside).toBe(0);
    expect(() => content(make())).toThrow(expect.objectContaining({ reason }));
  });
});

describe("a declaration is refused", () => {
  const many = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, k) => [`f${k}`, 0]));
  const ramp = Float64Array.from({ length: 8_000 }, (_, k) => k / 7);

  test.each<[string, string, string, object]>([
    ["STATE_TOO_LARGE", "FoldNode.initial", "65 fields, of at most 64", { initial: many(65) }],
    [
      "STATE_TOO_LARGE",
      "FoldNode.initial",
      "8193 numbers, of at most 8192",
      { initial: { a: new Float64Array(8_192), b: 0 } },
    ],
    [
      "STATE_TOO_LARGE",
      'FoldNode "big".initial',
      "bytes as part of the node id, of at most 65536",
      { initial: { ramp }, name: "big" },
    ],
    ["INVALID_FIELD", "FoldNode.initial", "needs a field", { initial: {} }],
    ["INVALID_FIELD", "FoldNode.initial", "must be an object", { initial: undefined }],
    ["INVALID_FIELD", "FoldNode.initial", "must be an object", { initial: [1] }],
    ["INVALID_FIELD", "FoldNode.initial.v", "not string", { initial: { v: "a" } }],
    ["INVALID_FIELD", "FoldNode.initial.v", "not object", { initial: { v: [1] } }],
    ["INVALID_FIELD", "FoldNode.initial", "is not an identifier", { initial: { "a b": 1 } }],
    ["RESERVED_PARAM", "FoldNode.initial.world", "is reserved", { initial: { world: 1 } }],
    ["INVALID_FIELD", "FoldNode.memory", '"all" or an integer', { memory: 0 }],
    [
      "INVALID_FIELD",
      "FoldNode.outputs",
      "not a number of the state; it has v, n",
      { outputs: ["w"] },
    ],
    ["INVALID_FIELD", "FoldNode.inputs", "needs at least one upstream", { inputs: {} }],
    [
      "INVALID_FIELD",
      "FoldNode.step",
      "takes (state, x, params)",
      { step: (_a: 1, _b: 2, _c: 3, _d: 4) => 1 },
    ],
    ["INVALID_FIELD", "FoldNode.step", "plain function", { step: async () => 1 }],
    ["INVALID_FIELD", "FoldNode.period", "is no option", { period: 3 }],
    ["INVALID_FIELD", "FoldNode.inital", 'did you mean "initial"', { inital: { v: 0 } }],
  ])("as %s: %s %s", (reason, field, problem, options) => {
    const declare = () => average(options);

    expect(declare).toThrow(expect.objectContaining({ reason, field }));
    expect(declare).toThrow(problem);
  });
});

describe("a state that changes its shape ends the run", () => {
  const odd = (step: (state: never, x: { close: number }) => unknown) =>
    new q.FoldNode({
      name: "odd",
      inputs: { close: close() },
      initial: { n: 0, ring: new Float64Array(2) },
      step: step as never,
    });
  type Loose = Record<string, unknown>;
  const shapes: [string, string, (state: never, x: { close: number }) => unknown][] = [
    [
      "another type",
      'field "n" of the state is string; it must stay a number',
      (state: Loose, x) => {
        state.n = x.close > 2 ? "3" : 0;
        return 1;
      },
    ],
    [
      "another length",
      'field "ring" of the state is a Float64Array of 3; it must stay a Float64Array of 2',
      (state: Loose) => {
        state.ring = new Float64Array(3);
        return 1;
      },
    ],
  ];
  const adds = (state: Loose, x: { close: number }): number => {
    if (x.close > 1) state.m = 1;
    return 1;
  };
  const removes = (state: Loose): number => {
    delete state.n;
    return 1;
  };

  test.each(shapes)(
    "at the end of a chunk, and at once row by row, for %s",
    (_what, problem, step) => {
      const { batch, push } = stepping(odd(step));
      const error = expect.objectContaining({ reason: "STATE_SHAPE" });

      expect(() => batch([1, 2, 3])).toThrow(error);
      expect(() => batch([1, 2, 3])).toThrow(/^node "odd" at row 2 \(bucket ending .*\) failed: /);
      expect(() => batch([1, 2, 3])).toThrow(problem);
      expect(() => [1, 2, 3].forEach(push)).toThrow(error);
    },
  );

  test("at once, for a field that is new or removed", () => {
    const added = stepping(odd(adds));
    const removed = stepping(odd(removes));

    expect(() => added.batch([1, 2, 3])).toThrow(
      expect.objectContaining({
        reason: "STATE_SHAPE",
        place: expect.objectContaining({ row: 1 }),
      }),
    );
    expect(() => added.batch([1, 2, 3])).toThrow(
      "cannot add or remove fields: the state has n, ring",
    );
    expect(() => removed.batch([1])).toThrow(expect.objectContaining({ reason: "STATE_SHAPE" }));
  });

  test.each<[string, string, () => unknown]>([
    ["text", "step returned string", () => "1"],
    ["an object", "step returned object", () => ({})],
    ["a promise", "step returned a promise", () => Promise.resolve(1)],
    [
      "nothing",
      "step returned undefined; it must return a number or null, or the node must name",
      () => undefined,
    ],
  ])("and a step that gives %s fails", (_what, problem, step) => {
    const { batch } = stepping(odd(step));

    expect(() => batch([1])).toThrow(expect.objectContaining({ reason: "COMPUTE_FAILED" }));
    expect(() => batch([1])).toThrow(problem);
  });
});

/** Long from the first close above a slow average until one below a trailing stop, which its own state holds. */
class Trailing extends q.Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const { close } = q.columns(
      new q.StreamInput({ source: "px", columns: ["close"], interval: "1d" }),
    );
    const trade = new q.FoldNode({
      name: "trade",
      inputs: { close, mean: q.sma(close, 5) },
      initial: { side: 0, best: NO },
      params: { fall: 0.04 },
      outputs: ["side", "best"],
      step: (state, x, { fall }) => {
        if (state.side === 1) {
          state.best = Math.max(state.best, x.close);
          if (x.close < state.best * (1 - fall)) state.side = 0;
        } else if (x.close > x.mean) {
          state.side = 1;
          state.best = x.close;
        }
      },
    });
    this.addNodes([new q.WeightTargetNode({ signal: q.column(trade, "side"), instrument: "X" })]);
  }
}

/** The sides of {@link Trailing} by a plain loop. */
function sidesByHand(closes: readonly number[]): number[] {
  let side = 0;
  let best = NO;
  return closes.map((price, row) => {
    if (row < 4) return 0;
    const mean = closes.slice(row - 4, row + 1).reduce((sum, each) => sum + each, 0) / 5;
    if (side === 1) {
      best = Math.max(best, price);
      if (price < best * 0.96) side = 0;
    } else if (price > mean) {
      side = 1;
      best = price;
    }
    return side;
  });
}

test("a backtest trades by a fold as a plain loop says", async () => {
  const bars = randomWalkBars({ count: 400, seed: 11, volatility: 0.02 });
  const closes = [...bars.columns.get("close")!];
  const sides = sidesByHand(closes);
  const changes = sides.filter((side, row) => row > 0 && side !== sides[row - 1]).length;

  const result = await runOnBars(Trailing, bars);

  expect(changes).toBeGreaterThan(10);
  expect(result.orders.length).toBe(changes);
  expect(result.nodes.map(({ type }) => type)).toContain("FoldNode");
});

test("a backtest from a later day has the state of the whole file", async () => {
  const closes = [10, 10, 10, 10, 10, 20, ...new Array(14).fill(20)];

  const whole = await runOnBars(Trailing, barsOfCloses(closes, { from: "2020-01-01" }));
  const late = await runOnBars(Trailing, barsOfCloses(closes, { from: "2020-01-01" }), {
    from: "2020-01-12",
  });

  expect(whole.orders.length).toBe(1);
  expect(late.orders.map(({ side }) => side)).toEqual(["long"]); // long since before the first day
});
