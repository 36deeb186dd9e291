import { describe, expect, test } from "vitest";
import type { Window } from "../cache/window.ts";
import type { FoldState } from "../nodes/fold-state.ts";
import { sma } from "../nodes/sma.ts";
import { userCompute } from "../nodes/user-compute.ts";
import { userDerive } from "../nodes/user-derive.ts";
import { userFold } from "../nodes/user-fold.ts";
import { runBatch } from "./batch.ts";
import type { BatchInput } from "./batch-axis.ts";
import { compilePlan } from "./compile-plan.ts";
import type { GraphInput, GraphNode, NodeKernel, OnMissing } from "./graph.ts";
import { MissingBucketError } from "./run-error.ts";
import { continuousClock, observedClock } from "./schedule.ts";
import { StepExecutor } from "./step.ts";

const MIN = 60_000;
const DAY = 86_400_000;
const NO = Number.NaN;

/** A cell of a column: a number, NaN, or no row at all. */
type Cell = number | "–";

function source(id: string, intervalMs = MIN, feed = id): GraphNode {
  const clock = observedClock(feed, intervalMs);
  return { id, name: id, intervalMs, outputs: ["f64"], inputs: [], clock };
}

/** Rows of a column; those that are not there are left out of the feed. */
function rows(nodeId: string, cells: readonly Cell[], stepMs = MIN): BatchInput {
  const there = cells.flatMap((cell, i) => (cell === "–" ? [] : [{ cell, i }]));
  return {
    nodeId,
    endMs: Float64Array.from(there, ({ i }) => (i + 1) * stepMs),
    columns: [Float64Array.from(there, ({ cell }) => cell)],
  };
}

function author(period: number, f: (...windows: Window[]) => number | null): NodeKernel {
  const params = { period, makeCall: (w: readonly Window[]) => () => f(...w) };
  return {
    lookback: period - 1,
    warmup: period,
    readsWindows: true,
    create: () => userCompute.create(params),
  };
}

/** Ways in which an author's function of the newest values is called. */
const kinds = ["a window of one row", "derive", "a fold"] as const;

/** A function of the newest values of its inputs, which have the names `ports`. */
function newest(
  kind: (typeof kinds)[number],
  ports: readonly string[],
  f: (...values: number[]) => number,
): NodeKernel {
  if (kind === "a window of one row")
    return author(1, (...windows) => f(...windows.map((w) => w.latest())));
  if (kind === "a fold") {
    const step = (_: FoldState, x: Readonly<Record<string, number>>) => () =>
      f(...ports.map((name) => x[name]!));
    const params = { ports, initial: { n: 0 }, outputs: [], warmup: 1, makeCall: step };
    const create = () => userFold.create(params);
    return { lookback: 0, warmup: 1, readsWindows: true, create };
  }
  const makeCall = (x: Readonly<Record<string, number>>) => () =>
    f(...ports.map((name) => x[name]!));
  const create = () => userDerive.create({ ports, makeCall });
  return { lookback: 0, warmup: 1, readsWindows: true, create };
}

function node(id: string, inputs: readonly GraphInput[], kernel: NodeKernel): GraphNode {
  return { id, name: id, intervalMs: MIN, outputs: ["f64"], inputs, kernel };
}

const port = (name: string, onMissing: OnMissing = "skip", of = name): GraphInput => {
  return { port: name, node: of, output: 0, onMissing };
};

/** Values of a node in batch; checks that a run bucket by bucket gives the same. */
function values(nodes: readonly GraphNode[], inputs: readonly BatchInput[], id: string): number[] {
  const supplied = inputs.map((input) => input.nodeId);
  const plan = compilePlan({ graph: { nodes }, supplied, wanted: [id] });
  const column = runBatch({ plan, inputs, collect: [id] }).columns.get(id)!;
  const batch = [...column.values[0]!] as number[];
  const step = new StepExecutor(plan);
  const times = [...new Set(inputs.flatMap(({ endMs }) => [...endMs]))].sort((x, y) => x - y);
  const stepped = new Map<number, number>();
  const handle = step.handle(id);
  for (const endMs of times) {
    for (const input of inputs) {
      const at = input.endMs.indexOf(endMs);
      const clock = plan.nodes[step.handle(input.nodeId)]!.clock;
      const shares = inputs.some(
        (other) =>
          plan.nodes[step.handle(other.nodeId)]!.clock === clock && other.endMs.includes(endMs),
      );
      const row = [...column.endMs].indexOf(endMs);
      if (at >= 0)
        step.push(
          step.handle(input.nodeId),
          shares && row >= 0 && plan.clocks.length === 1 ? row : at,
          endMs,
          [input.columns[0]![at]],
        );
      else if (shares) step.pushMissing(step.handle(input.nodeId), row, endMs);
    }
    step.step(endMs);
    stepped.set(endMs, step.value(handle));
  }
  expect([...column.endMs].map((endMs) => stepped.get(endMs))).toEqual(batch);
  return batch;
}

describe.each(kinds)("a + b over one feed, by %s,", (kind) => {
  const a = [1, 2, NO, 4];
  const b: Cell[] = [10, "–", 30, 40];
  const sum = (mode: OnMissing, f = (x: number, y: number): number => x + y) =>
    values(
      [
        source("a", MIN, "s"),
        source("b", MIN, "s"),
        node("sum", [port("a", mode), port("b", mode)], newest(kind, ["a", "b"], f)),
      ],
      [rows("a", a), rows("b", b)],
      "sum",
    );
  const orZero = (x: number): number => (Number.isNaN(x) ? 0 : x);

  test("skips where either has none", () => {
    expect(sum("skip")).toEqual([11, NO, NO, 44]);
  });

  test("with NaN shown, counts it as the function says", () => {
    expect(sum("nan", (x, y) => orZero(x) + orZero(y))).toEqual([11, 2, 30, 44]);
  });

  test("carries the last value", () => {
    expect(sum("carry")).toEqual([11, 12, 32, 44]);
  });
});

describe.each(kinds)("a port on another feed, read by %s,", (kind) => {
  const clock = rows("a", [1, 1, 1, 1, 1]);
  const other: Cell[] = ["–", 10, "–", "–", 40];
  const read = (mode: OnMissing) => [
    source("a"),
    source("b"),
    node(
      "x",
      [port("a"), port("b", mode)],
      newest(kind, ["a", "b"], (_, y) => y!),
    ),
  ];

  test("counts as missing where its feed has no row", () => {
    expect(values(read("skip"), [clock, rows("b", other)], "x")).toEqual([NO, 10, NO, NO, 40]);
  });

  test("is carried for at most as many rows as are said", () => {
    expect(values(read({ carry: 1 }), [clock, rows("b", other)], "x")).toEqual([
      NO,
      10,
      10,
      NO,
      40,
    ]);
  });

  test("is no failure before its first value, and one with node, port, row, time and source after it", () => {
    const run = () => values(read("fail"), [clock, rows("b", other)], "x");

    expect(run).toThrow(MissingBucketError);
    expect(run).toThrow(
      'node "x" at row 2 (bucket ending 1970-01-01T00:03:00.000Z): port "b" has no value, because source "b" has none, and its onMissing is "fail"',
    );
    expect(values(read("fail"), [clock, rows("b", ["–", "–"])], "x")).toEqual([NO, NO, NO, NO, NO]);
  });

  test("shows NaN only once it had a value", () => {
    expect(values(read("nan"), [clock, rows("b", other)], "x")).toEqual([NO, 10, NO, NO, 40]);
    const calls: number[] = [];
    const x = newest(kind, ["a", "b"], (_, y) => calls.push(y!));
    const nodes = [source("a"), source("b"), node("x", [port("a"), port("b", "nan")], x)];
    const plan = compilePlan({ graph: { nodes }, supplied: ["a", "b"], wanted: ["x"] });

    runBatch({ plan, inputs: [clock, rows("b", other)], collect: ["x"] });

    expect(calls).toEqual([10, NO, NO, 40]);
  });
});

test("a window shows NaN only once its port had a value", () => {
  const calls: number[] = [];
  const graph = [
    source("a"),
    source("b"),
    node(
      "x",
      [port("a"), port("b", "nan")],
      author(2, (x, y) => {
        calls.push(y!.at(0), y!.at(1));
        return x!.latest();
      }),
    ),
  ];
  const plan = compilePlan({ graph: { nodes: graph }, supplied: ["a", "b"], wanted: ["x"] });
  const inputs = [rows("a", [1, 1, 1, 1, 1]), rows("b", ["–", 10, "–", "–", 40])];

  runBatch({ plan, inputs, collect: ["x"] });

  expect(calls).toEqual([NO, 10, 10, NO, NO, NO, NO, 40]);
});

test("a NaN fails a port as a missing row does, and the source behind an indicator is named", () => {
  const nodes = [
    source("s"),
    node("mean", [port("s")], {
      lookback: 1,
      warmup: 2,
      readsWindows: false,
      create: () => sma.create({ window: 2 }),
    }),
    node(
      "x",
      [port("mean", "fail")],
      author(1, (w) => w!.latest()),
    ),
  ];

  expect(() => values(nodes, [rows("s", [1, 2, 3, NO, 5])], "x")).toThrow(
    'node "x" at row 3 (bucket ending 1970-01-01T00:04:00.000Z): port "mean" has no value, because source "s" has none',
  );
});

test("a window is skipped until the hole has left it, and the function is never shown one", () => {
  const shown: number[][] = [];
  const graph = [
    source("s"),
    node(
      "x",
      [port("s")],
      author(3, (w) => {
        shown.push([...w!.toArray()]);
        return w!.latest();
      }),
    ),
  ];

  expect(values(graph, [rows("s", [1, 2, 3, NO, 5, 6, 7, 8])], "x")).toEqual([
    ...[NO, NO, 3, NO, NO, NO, 7, 8],
  ]);
  expect(shown.flat().every((value) => !Number.isNaN(value))).toBe(true);
});

test("a slower port is carried by its own rows, and its window shows those", () => {
  const nodes: GraphNode[] = [
    { ...source("m", DAY / 2), clock: continuousClock(DAY / 2) },
    { ...source("d", DAY), clock: continuousClock(DAY) },
    {
      ...node(
        "x",
        [port("m"), port("d", "carry")],
        author(2, (_, d) => d!.at(0) * 100 + d!.at(1)),
      ),
      intervalMs: DAY / 2,
    },
  ];
  const half = rows("m", [1, 1, 1, 1, 1, 1, 1, 1], DAY / 2);
  const daily = rows("d", [1, 2, "–", 4], DAY);

  const plan = compilePlan({ graph: { nodes }, supplied: ["m", "d"], wanted: ["x"] });
  const { columns } = runBatch({ plan, inputs: [half, daily], collect: ["x"] });

  expect([...columns.get("x")!.values[0]!]).toEqual([NO, NO, NO, 102, 102, 202, 202, 204]);
});

test.each(kinds)(
  "the crossover of two means, by %s, has no value before the slower one has",
  (kind) => {
    const close = Array.from({ length: 230 }, (_, i) => 100 + i);
    const mean = (id: string, window: number) =>
      node(id, [port("s")], {
        lookback: window - 1,
        warmup: window,
        readsWindows: false,
        create: () => sma.create({ window }),
      });
    const nodes = [
      source("s"),
      mean("fast", 50),
      mean("slow", 200),
      node(
        "side",
        [port("fast"), port("slow")],
        newest(kind, ["fast", "slow"], (fast, slow) => (fast! > slow! ? 1 : -1)),
      ),
    ];

    const side = values(nodes, [rows("s", close)], "side");

    expect(side.findIndex((value) => !Number.isNaN(value))).toBe(199);
    expect(new Set(side.slice(199))).toEqual(new Set([1]));
  },
);
