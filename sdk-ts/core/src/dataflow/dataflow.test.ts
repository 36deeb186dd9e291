import { describe, expect, test } from "vitest";
import type { Window } from "../cache/window.ts";
import { ema } from "../nodes/ema.ts";
import type { KernelSpec } from "../nodes/kernel.ts";
import { rateOfChange } from "../nodes/rate-of-change.ts";
import { sma } from "../nodes/sma.ts";
import { userCompute } from "../nodes/user-compute.ts";
import { runBatch } from "./batch.ts";
import type { BatchInput } from "./batch-axis.ts";
import { compilePlan } from "./compile-plan.ts";
import type { GraphInput, GraphNode, NodeKernel, OnMissing } from "./graph.ts";
import { ComputeError, MissingBucketError } from "./run-error.ts";
import { continuousClock, observedClock } from "./schedule.ts";
import { StepExecutor } from "./step.ts";

const MIN = 60_000;
const HOUR = 60 * MIN;
const NO = Number.NaN;

function kernelOf<P>(spec: KernelSpec<P>, params: P, readsWindows = false): NodeKernel {
  return {
    lookback: spec.lookback(params),
    warmup: spec.warmup(params),
    readsWindows,
    create: () => spec.create(params),
  };
}

function source(
  id: string,
  intervalMs = MIN,
  schedule: "observed" | "continuous" = "observed",
): GraphNode {
  const clock =
    schedule === "observed" ? observedClock(id, intervalMs) : continuousClock(intervalMs);
  return { id, name: id, intervalMs, outputs: ["f64"], inputs: [], clock };
}

function node(
  id: string,
  inputs: readonly (string | GraphInput)[],
  kernel: NodeKernel,
  rest: Partial<GraphNode> = {},
): GraphNode {
  const ports = inputs.map((input, k) =>
    typeof input === "string" ? { port: `p${k}`, node: input, output: 0 } : input,
  );
  return { id, name: id, intervalMs: MIN, outputs: ["f64"], inputs: ports, kernel, ...rest };
}

function user(period: number, f: (...windows: Window[]) => number | null): NodeKernel {
  return kernelOf(userCompute, { period, makeCall: (windows) => () => f(...windows) }, true);
}

function rows(
  nodeId: string,
  times: readonly number[],
  values: readonly number[],
  rest: Partial<BatchInput> = {},
): BatchInput {
  return { nodeId, endMs: Float64Array.from(times), columns: [Float64Array.from(values)], ...rest };
}

function values(nodes: readonly GraphNode[], inputs: readonly BatchInput[], id: string): number[] {
  const plan = compilePlan({
    graph: { nodes },
    supplied: inputs.map((x) => x.nodeId),
    wanted: [id],
  });
  return [...runBatch({ plan, inputs, collect: [id] }).columns.get(id)!.values[0]!] as number[];
}

describe("a graph is refused whole", () => {
  const compile = (nodes: GraphNode[], supplied = ["s"], wanted = nodes.map((n) => n.id)) =>
    compilePlan({ graph: { nodes }, supplied, wanted });
  const copy = kernelOf(sma, { window: 1 });

  test("a cycle is named in order", () => {
    expect(() =>
      compile([
        source("s"),
        node("x", ["s", "z"], copy),
        node("y", ["x"], copy),
        node("z", ["y"], copy),
      ]),
    ).toThrow(/cycle: x → y → z → x|cycle: y → z → x → y|cycle: z → x → y → z/);
  });

  test("an input that is not in the graph is named with its reader", () => {
    expect(() => compile([source("s"), node("x", ["nowhere"], copy)])).toThrow(
      'node "x" reads "nowhere" on port "p0"',
    );
  });

  test("a repeated id, an unknown output, a source nobody supplies and an unknown wanted node are refused", () => {
    expect(() => compile([source("s"), source("s")])).toThrow("used twice");
    expect(() =>
      compile([
        source("s"),
        node("x", [], copy, { inputs: [{ port: "p", node: "s", output: 1 }] }),
      ]),
    ).toThrow("reads output 1");
    expect(() => compile([source("s"), node("x", ["s"], copy)], [])).toThrow(
      'nothing supplies the source "s"',
    );
    expect(() => compile([source("s")], ["s"], ["ghost"])).toThrow('"ghost" is not in the graph');
  });

  test("a node slower than all its inputs is refused, and so is a loop over several clocks", () => {
    expect(() => compile([source("s"), node("x", ["s"], copy, { intervalMs: HOUR })])).toThrow(
      "has interval 1h, but its inputs have",
    );
    const slow = source("slow", HOUR);
    const loop = [
      node("x", ["slow"], copy, {
        intervalMs: HOUR,
        inputs: [
          { port: "a", node: "slow", output: 0 },
          { port: "b", node: "y", output: 0, delayed: true },
        ],
      }),
      node("y", ["s", "x"], copy),
    ];
    expect(() => compile([source("s"), slow, ...loop], ["s", "slow"])).toThrow(
      /reads the faster|several clocks/,
    );
  });
});

test("only what wanted outputs need is computed, and a supplied node stands for all above it", () => {
  const nodes = [
    source("s"),
    node("x", ["s"], kernelOf(sma, { window: 2 })),
    node("y", ["x"], kernelOf(sma, { window: 2 })),
    node("unread", ["s"], kernelOf(sma, { window: 2 })),
  ];

  const plan = compilePlan({ graph: { nodes }, supplied: ["x"], wanted: ["y"] });
  const result = runBatch({
    plan,
    inputs: [rows("x", [MIN, 2 * MIN, 3 * MIN], [1, 3, 5])],
    collect: ["y"],
  });

  expect(plan.nodes.map((n) => n.id).sort()).toEqual(["x", "y"]);
  expect([...result.columns.get("y")!.values[0]!]).toEqual([NO, 2, 4]);
  expect(result.evaluations).toEqual(new Map([["y", 3]]));
});

test("a faster node sees the last bucket of a slower one closed at or before its own close", () => {
  const minutes = [58, 59, 60, 61, 119, 120].map((m) => m * MIN);
  const fast = rows("fast", minutes, [1, 2, 3, 4, 5, 6]);
  const slow = rows("slow", [HOUR, 2 * HOUR], [100, 200]);
  const nodes = [
    source("fast"),
    source("slow", HOUR),
    node(
      "x",
      ["fast", "slow"],
      user(1, (a, b) => a.latest() + b.latest()),
    ),
  ];

  expect(values(nodes, [fast, slow], "x")).toEqual([NO, NO, 103, 104, 105, 206]);
});

test("a window on a slower input holds that input's own buckets", () => {
  const minutes = Array.from({ length: 200 }, (_, i) => (i + 1) * MIN);
  const fast = rows(
    "fast",
    minutes,
    minutes.map((_, i) => i),
  );
  const slow = rows("slow", [HOUR, 2 * HOUR, 3 * HOUR], [10, 20, 40]);
  const nodes = [
    source("fast"),
    source("slow", HOUR),
    node(
      "x",
      ["fast", "slow"],
      user(2, (_a, b) => b.latest() - b.at(0)),
    ),
  ];

  const x = values(nodes, [fast, slow], "x");

  expect([x[118], x[119], x[178], x[179]]).toEqual([NO, 10, 10, 20]);
});

test("a node over two observed clocks fires on the buckets both have, on the rows of its first input", () => {
  const a = rows(
    "a",
    [1, 2, 3, 4].map((m) => m * MIN),
    [1, 2, 3, 4],
    { firstRow: 70 },
  );
  const b = rows(
    "b",
    [2, 3, 5].map((m) => m * MIN),
    [20, 30, 50],
  );
  const nodes = [
    source("a"),
    source("b"),
    node(
      "x",
      ["a", "b"],
      user(1, (p, q) => p.latest() + q.latest()),
    ),
  ];
  const plan = compilePlan({ graph: { nodes }, supplied: ["a", "b"], wanted: ["x"] });

  const result = runBatch({ plan, inputs: [a, b], collect: ["x"] });
  const x = result.columns.get("x")!;

  expect([...x.values[0]!]).toEqual([NO, 22, 33, NO]);
  expect([...x.missing]).toEqual([1, 0, 0, 1]);
  expect(x.firstRow).toBe(70);
  expect(result.evaluations.get("x")).toBe(2);
});

describe("a missing bucket", () => {
  const gap = rows(
    "s",
    [1, 2, 4].map((m) => m * MIN),
    [1, 2, 4],
  );
  const graph = (onMissing: OnMissing) => [
    source("s", MIN, "continuous"),
    node("x", [{ port: "s", node: "s", output: 0, onMissing }], kernelOf(sma, { window: 2 })),
  ];

  test("is skipped: the node has no bucket there, and windows over it are not full", () => {
    expect(values(graph("skip"), [gap], "x")).toEqual([NO, 1.5, NO, NO]);
  });

  test("is carried: the last value stands in", () => {
    expect(values(graph("carry"), [gap], "x")).toEqual([NO, 1.5, 2, 3]);
  });

  test("fails the run, naming node, port, row, time and source", () => {
    expect(() => values(graph("fail"), [gap], "x")).toThrow(MissingBucketError);
    expect(() => values(graph("fail"), [gap], "x")).toThrow(
      'node "x" at row 2 (bucket ending 1970-01-01T00:03:00.000Z): port "s" has no value, because source "s" has none, and its onMissing is "fail"',
    );
  });
});

describe("a throwing compute function names node, row and time", () => {
  const nodes = [
    source("s"),
    node(
      "x",
      ["s"],
      user(1, (w) => {
        if (w.latest() === 3) throw new Error("boom");
        return 1;
      }),
    ),
  ];
  const message = 'node "x" at row 12 (bucket ending 1970-01-01T00:03:00.000Z) failed: boom';

  test("in batch", () => {
    const input = rows(
      "s",
      [1, 2, 3, 4].map((m) => m * MIN),
      [1, 2, 3, 4],
      { firstRow: 10 },
    );

    expect(() => values(nodes, [input], "x")).toThrow(message);
    expect(() => values(nodes, [input], "x")).toThrow(ComputeError);
  });

  test("in step", () => {
    const step = new StepExecutor(
      compilePlan({ graph: { nodes }, supplied: ["s"], wanted: ["x"] }),
    );
    const push = (row: number, m: number) => {
      step.push(step.handle("s"), row, m * MIN, [m]);
      step.step(m * MIN);
    };
    push(10, 1);
    push(11, 2);

    expect(() => push(12, 3)).toThrow(message);
  });
});

test("feedback enters as of the previous row, and a reader outside the loop sees the loop's own row", () => {
  const nodes = [
    node("after", ["acc"], kernelOf(rateOfChange, { lag: 1 })),
    node(
      "acc",
      [],
      user(1, (x, back) => x.latest() + (Number.isNaN(back.latest()) ? 0 : back.latest())),
      {
        inputs: [
          { port: "x", node: "s", output: 0 },
          { port: "back", node: "acc", output: 0, delayed: true, onMissing: "nan" },
        ],
      },
    ),
    source("s"),
  ];
  const input = rows(
    "s",
    [1, 2, 3].map((m) => m * MIN),
    [1, 2, 3],
  );

  expect(values(nodes, [input], "acc")).toEqual([1, 3, 6]);
  expect(values(nodes, [input], "after")).toEqual([NO, 2, 1]);
});

describe("the step executor refuses a feed that does not fit", () => {
  const plan = compilePlan({
    graph: {
      nodes: [
        source("s"),
        { ...source("t"), clock: observedClock("s", MIN) },
        node(
          "x",
          ["s", "t"],
          user(1, (a, b) => a.latest() - b.latest()),
        ),
      ],
    },
    supplied: ["s", "t"],
    wanted: ["x"],
  });
  const open = () => {
    const step = new StepExecutor(plan);
    return { step, s: step.handle("s"), t: step.handle("t") };
  };

  test("a row left out, pushed twice, or at another time than the others of its clock", () => {
    const { step, s, t } = open();
    step.push(s, 5, MIN, [1]);
    expect(() => step.step(MIN)).toThrow('no row was pushed for "t"');
    expect(() => step.push(s, 5, MIN, [1])).toThrow("pushed twice");
    expect(() => step.push(t, 6, MIN, [1])).toThrow(
      "expected row 5 ending 60000, but row 6 ending 60000 was pushed",
    );
    step.pushMissing(t, 5, MIN);
    step.step(MIN);

    expect(step.isPresent(step.handle("x"))).toBe(false);
    expect(() => step.push(s, 7, 2 * MIN, [1])).toThrow("expected row 6 ending 120000");
  });

  test("a computed node is not pushed, and an unknown one has no handle", () => {
    const { step } = open();
    expect(() => step.push(step.handle("x"), 0, MIN, [1])).toThrow("is computed here");
    expect(() => step.handle("ghost")).toThrow("no node ghost");
  });
});

test("states are canonical bytes and are refused by a node they do not fit", () => {
  const nodes = [source("s"), node("e", ["s"], kernelOf(ema, { window: 2 }))];
  const plan = compilePlan({ graph: { nodes }, supplied: ["s"], wanted: ["e"] });
  const step = new StepExecutor(plan);
  for (const m of [1, 2]) {
    step.push(step.handle("s"), m, m * MIN, [m]);
    step.step(m * MIN);
  }

  const bytes = step.save(step.handle("e"));

  expect([...new Float64Array(bytes.slice().buffer)]).toEqual([2, 1.5]);
  expect(step.save(step.handle("s")).length).toBe(0);
  expect(step.inputWindows(step.handle("e")).map((w) => [...w])).toEqual([[2]]);
  expect(() => step.load(step.handle("e"), bytes.slice(1))).toThrow("are not a valid state");
});

test("batch reports progress and refuses columns that do not fit", () => {
  const nodes = [source("s"), node("x", ["s"], kernelOf(sma, { window: 2 }))];
  const plan = compilePlan({ graph: { nodes }, supplied: ["s"], wanted: ["x"] });
  const times = [1, 2, 3, 4, 5].map((m) => m * MIN);
  const seen: number[][] = [];

  runBatch({
    plan,
    inputs: [rows("s", times, times)],
    collect: [],
    chunk: 2,
    onProgress: (done, all) => seen.push([done, all]),
  });

  expect(seen).toEqual([
    [2, 5],
    [4, 5],
    [5, 5],
  ]);
  expect(() => runBatch({ plan, inputs: [], collect: [] })).toThrow(
    'no rows were supplied for node "s"',
  );
  expect(() => runBatch({ plan, inputs: [rows("s", [2, 1], [1, 1])], collect: [] })).toThrow(
    "do not increase at row 1",
  );
  expect(() => runBatch({ plan, inputs: [rows("s", [1, 2], [1])], collect: [] })).toThrow(
    "1 columns of 2 rows",
  );
});
