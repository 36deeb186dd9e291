import fc from "fast-check";
import { expect, test } from "vitest";
import type { Window } from "../cache/window.ts";
import { atr } from "../nodes/atr.ts";
import { bollinger } from "../nodes/bollinger.ts";
import { changed } from "../nodes/changed.ts";
import { ema } from "../nodes/ema.ts";
import { hysteresis } from "../nodes/hysteresis.ts";
import type { KernelSpec } from "../nodes/kernel.ts";
import { lag } from "../nodes/lag.ts";
import { max } from "../nodes/max.ts";
import { positionTarget } from "../nodes/position-target.ts";
import { rateOfChange } from "../nodes/rate-of-change.ts";
import { rsi } from "../nodes/rsi.ts";
import { sma } from "../nodes/sma.ts";
import { stddev } from "../nodes/stddev.ts";
import { userCompute, userOutputs } from "../nodes/user-compute.ts";
import { userDerive } from "../nodes/user-derive.ts";
import { weightTarget } from "../nodes/weight-target.ts";
import { type BatchRestore, runBatch } from "./batch.ts";
import type { BatchInput } from "./batch-axis.ts";
import type { BatchColumns } from "./batch-collector.ts";
import { compilePlan } from "./compile-plan.ts";
import type { GraphInput, GraphNode, NodeKernel, OnMissing, RuntimeGraph } from "./graph.ts";
import type { Plan } from "./plan.ts";
import { continuousClock, observedClock } from "./schedule.ts";
import { StepExecutor } from "./step.ts";
import { average, extremes, foldOf } from "./testing/folds.ts";

const MINUTE = 60_000;
const COARSE = 5 * MINUTE;

function kernelOf<P>(spec: KernelSpec<P>, params: P, readsWindows = false): NodeKernel {
  const lookback = spec.lookback(params);
  return { lookback, warmup: spec.warmup(params), readsWindows, create: () => spec.create(params) };
}

const sources: GraphNode[] = [
  {
    id: "a",
    name: "a",
    intervalMs: MINUTE,
    outputs: ["f64", "f64"],
    inputs: [],
    clock: continuousClock(MINUTE),
  },
  {
    id: "b",
    name: "b",
    intervalMs: MINUTE,
    outputs: ["f64"],
    inputs: [],
    clock: continuousClock(MINUTE),
  },
  {
    id: "c",
    name: "c",
    intervalMs: MINUTE,
    outputs: ["f64"],
    inputs: [],
    clock: observedClock("c", MINUTE),
  },
  {
    id: "h",
    name: "h",
    intervalMs: COARSE,
    outputs: ["f64"],
    inputs: [],
    clock: continuousClock(COARSE),
  },
];

interface Draw {
  readonly kind: number;
  readonly window: number;
  readonly picks: readonly number[];
  readonly delayed: boolean;
  readonly modes: readonly OnMissing[];
}

const draw: fc.Arbitrary<Draw> = fc.record({
  kind: fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 0, max: 9 }) },
    { weight: 2, arbitrary: fc.constantFrom(10, 11, 12) },
    { weight: 3, arbitrary: fc.constantFrom(16, 17) },
    { weight: 1, arbitrary: fc.constantFrom(13, 14, 15) },
  ),
  window: fc.integer({ min: 2, max: 9 }),
  picks: fc.array(fc.nat(1000), { minLength: 3, maxLength: 3 }),
  delayed: fc.boolean(),
  modes: fc.array(
    fc.constantFrom<OnMissing>("skip", "skip", "skip", "nan", "carry", { carry: 1 }, { carry: 3 }),
    { minLength: 3, maxLength: 3 },
  ),
});

const target = {
  longEnter: 100,
  longExit: 90,
  shortEnter: 70,
  shortExit: 80,
  longWeight: 1,
  shortWeight: -1,
  holdWeight: 0,
};

function makeNode(
  id: string,
  { kind, window, picks, delayed, modes }: Draw,
  before: readonly GraphNode[],
): GraphNode {
  const pick = (k: number): GraphInput => {
    const upstream = before[picks[k]! % before.length]!;
    return {
      port: `p${k}`,
      node: upstream.id,
      output: picks[k]! % upstream.outputs.length,
      delayed: delayed && k === 1,
      onMissing: modes[k],
    };
  };
  const node = (kernel: NodeKernel, inputs: GraphInput[], outputs = 1): GraphNode => ({
    id,
    name: id,
    intervalMs: MINUTE,
    kernel,
    inputs,
    outputs: new Array(outputs).fill("f64"),
  });
  const flatAfter = delayed ? window % 4 : 0;
  switch (kind) {
    case 0:
      return node(kernelOf(sma, { window }), [pick(0)]);
    case 1:
      return node(kernelOf(stddev, { window, ddof: 0 }), [pick(0)]);
    case 2:
      return node(kernelOf(bollinger, { window, multiplier: 2 }), [pick(0)], 3);
    case 3:
      return node(kernelOf(max, { window }), [pick(0)]);
    case 4:
      return node(kernelOf(rateOfChange, { lag: window }), [pick(0)]);
    case 5:
      return node(kernelOf(ema, { window }), [pick(0)]);
    case 6:
      return node(kernelOf(rsi, { window }), [pick(0)]);
    case 7:
      return node(kernelOf(atr, { window }), [pick(0), pick(1), pick(2)]);
    case 8:
      return node(kernelOf(positionTarget, { ...target, flatAfter }), [pick(0)]);
    case 9:
      return node(kernelOf(weightTarget, { weightMin: -90, weightMax: 110, step: 5, flatAfter }), [
        pick(0),
      ]);
    case 11: {
      const makeCall = (x: Readonly<Record<string, number>>) => () => {
        if (Number.isNaN(x.p0) && modes[0] !== "nan") throw new Error("called without a value");
        return x.p1! > 140 ? null : x.p0! - 0.5 * x.p1!;
      };
      return node(kernelOf(userDerive, { ports: ["p0", "p1"], makeCall }, true), [
        pick(0),
        pick(1),
      ]);
    }
    case 12: {
      const params = {
        period: window,
        outputs: ["gap", "early"],
        makeCall:
          ([x, y]: readonly Window[], out: Record<string, number>) =>
          () => {
            if (!Number.isNaN(out.gap) || !Number.isNaN(out.early)) throw new Error("not cleared");
            if (x!.latest() < 140) out.gap = x!.latest() - y!.at(0);
            out.early = x!.at(0);
          },
      };
      const kernel = {
        lookback: userOutputs.lookback(params),
        warmup: userOutputs.warmup(params),
        readsWindows: true,
        create: () => userOutputs.create(params),
      };
      return node(kernel, [pick(0), pick(1)], 2);
    }
    case 13:
      return node(kernelOf(lag, { lag: window }), [pick(0)]);
    case 14:
      return node(kernelOf(changed, {}), [pick(0)]);
    case 15:
      return node(kernelOf(hysteresis, target), [pick(0)]);
    case 16:
      return node(foldOf(average(window, modes[0] !== "nan")), [pick(0), pick(1)]);
    case 17:
      return node(foldOf(extremes), [pick(0)], 2);
    default:
      return node(
        kernelOf(
          userCompute,
          {
            period: window,
            makeCall: ([x, y]) => {
              let seen = 0;
              return () => {
                for (let k = 0; k < window; k++) {
                  seen += Number.isNaN(x!.at(k)) && modes[0] !== "nan" ? 1 : 0;
                  seen += Number.isNaN(y!.at(k)) && modes[1] !== "nan" ? 1 : 0;
                }
                if (seen > 0) throw new Error("called while a window holds no value");
                return x!.latest() > 140 ? null : x!.latest() - 0.5 * y!.at(0) + 0.1 * x!.at(1);
              };
            },
          },
          true,
        ),
        [pick(0), pick(1)],
      );
  }
}

/** Adds a loop: an average fed with the previous row of what is computed from it. */
function loop(on: string): GraphNode[] {
  return [
    {
      id: "f",
      name: "f",
      intervalMs: MINUTE,
      outputs: ["f64"],
      inputs: [
        { port: "x", node: on, output: 0 },
        { port: "back", node: "g", output: 0, delayed: true, onMissing: "nan" },
      ],
      kernel: kernelOf(
        userCompute,
        {
          period: 1,
          makeCall:
            ([x, y]) =>
            () => {
              const back = y!.latest();
              return x!.latest() + (Number.isNaN(back) ? 1 : back / 2);
            },
        },
        true,
      ),
    },
    {
      id: "g",
      name: "g",
      intervalMs: MINUTE,
      outputs: ["f64"],
      inputs: [{ port: "x", node: "f", output: 0 }],
      kernel: kernelOf(rateOfChange, { lag: 1 }),
    },
  ];
}

const minuteInterval = (node: GraphNode) => node.intervalMs === MINUTE;

function makeGraph(draws: readonly Draw[], hasLoop: boolean): RuntimeGraph {
  const nodes = [...sources];
  for (const [k, each] of draws.entries()) {
    const made = makeNode(`n${k}`, each, nodes);
    const clocks = made.inputs.filter((input) =>
      minuteInterval(nodes.find((n) => n.id === input.node)!),
    );
    if (clocks.length > 0) nodes.push(made);
  }
  if (hasLoop) nodes.push(...loop("b"));
  return { nodes: nodes.reverse() };
}

const value = fc.oneof(
  { weight: 40, arbitrary: fc.double({ min: 60, max: 150, noNaN: true }) },
  { weight: 2, arbitrary: fc.constantFrom(Number.NaN, Number.NaN, 0, 1e16) },
);
const cell = fc.record({
  values: fc.array(value, { minLength: 4, maxLength: 4 }),
  missing: fc.nat(60),
});

/** Rows of every source over the minutes: gaps in a and b, rows left out of c, a coarse value each 5 minutes. */
function makeInputs(cells: readonly { values: number[]; missing: number }[]): BatchInput[] {
  const start = 60 * MINUTE * 7 + 17 * MINUTE;
  const end = (i: number) => start + i * MINUTE;
  const input = (
    nodeId: string,
    rows: readonly number[],
    columns: readonly number[],
    missing: number,
  ): BatchInput => ({
    nodeId,
    endMs: Float64Array.from(rows, end),
    columns: columns.map((k) => Float64Array.from(rows, (i) => cells[i]!.values[k]!)),
    missing: Uint8Array.from(rows, (i) => (cells[i]!.missing === missing ? 1 : 0)),
  });
  const all = cells.map((_, i) => i);
  return [
    input("a", all, [0, 1], 1),
    input(
      "b",
      all.filter((i) => i === 0 || cells[i]!.missing !== 2),
      [2],
      1000,
    ),
    {
      ...input(
        "c",
        all.filter((i) => cells[i]!.missing > 6),
        [3],
        7,
      ),
      firstRow: 41,
    },
    input(
      "h",
      all.filter((i) => end(i) % COARSE === 0),
      [0],
      8,
    ),
  ];
}

function equalBits(
  actual: ReadonlyMap<string, BatchColumns>,
  expected: ReadonlyMap<string, BatchColumns>,
): void {
  for (const [id, columns] of expected) {
    const other = actual.get(id)!;
    expect([id, other.firstRow, [...other.endMs]]).toEqual([
      id,
      columns.firstRow,
      [...columns.endMs],
    ]);
    expect([id, ...other.values.map((v) => [...v])]).toEqual([
      id,
      ...columns.values.map((v) => [...v]),
    ]);
    expect([id, [...other.missing]]).toEqual([id, [...columns.missing]]);
  }
}

/**
 * Pushes each input's row of the bucket that ends at `endMs`, as an online feed would, from a time on for each clock;
 * false if there was none.
 */
function feed(
  step: StepExecutor,
  plan: Plan,
  inputs: readonly BatchInput[],
  axes: ReadonlyMap<string, BatchColumns>,
  endMs: number,
  fromMs: readonly number[] = [],
): boolean {
  let any = false;
  for (const node of plan.nodes) {
    if (!node.supplied || endMs < (fromMs[node.clock] ?? 0)) continue;
    const axis = axes.get(node.id)!;
    const i = axis.endMs.indexOf(endMs);
    if (i < 0) continue;
    any = true;
    const handle = step.handle(node.id);
    const given = inputs.find((x) => x.nodeId === node.id)!;
    const at = given.endMs.indexOf(endMs);
    if (at < 0 || given.missing?.[at] === 1) step.pushMissing(handle, axis.firstRow + i, endMs);
    else
      step.push(
        handle,
        axis.firstRow + i,
        endMs,
        given.columns.map((column) => column[at]),
      );
  }
  return any;
}

function allTimes(axes: ReadonlyMap<string, BatchColumns>): number[] {
  return [...new Set([...axes.values()].flatMap((axis) => [...axis.endMs]))].sort((x, y) => x - y);
}

function expectRow(step: StepExecutor, id: string, columns: BatchColumns, endMs: number): void {
  const i = columns.endMs.indexOf(endMs);
  if (i < 0) return;
  const handle = step.handle(id);
  expect([id, i, step.row(handle), step.isPresent(handle)]).toEqual([
    id,
    i,
    columns.firstRow + i,
    columns.missing[i] === 0,
  ]);
  columns.values.forEach((column, k) => {
    if (!Object.is(step.value(handle, k), column[i]))
      expect([id, i, k, step.value(handle, k)]).toEqual([id, i, k, column[i]]);
  });
}

const scenarioOf = (kinds: fc.Arbitrary<Draw>) =>
  fc.record({
    draws: fc.array(kinds, { minLength: 1, maxLength: 12 }),
    hasLoop: fc.boolean(),
    cells: fc.array(cell, { minLength: 12, maxLength: 150 }),
    chunk: fc.constantFrom(1, 2, 3, 7, 31, 61, 997, 2048),
    stepChunk: fc.constantFrom(1, 5, 16, 2048),
    split: fc.nat(1000),
  });

const scenario = scenarioOf(draw);
/** Folds over folds and derived values. */
const folds = scenarioOf(
  fc.record({ drawn: draw, kind: fc.constantFrom(11, 16, 17) }).map(({ drawn, kind }) => {
    return { ...drawn, kind };
  }),
);
const scenarios = [
  ["any nodes", scenario],
  ["folds and derived values", folds],
] as const;

function prepare({
  draws,
  hasLoop,
  cells,
}: {
  draws: Draw[];
  hasLoop: boolean;
  cells: { values: number[]; missing: number }[];
}) {
  const graph = makeGraph(draws, hasLoop);
  const ids = graph.nodes.map((node) => node.id);
  const plan = compilePlan({ graph, supplied: sources.map((s) => s.id), wanted: ids });
  const inputs = makeInputs(cells);
  return { plan, ids, inputs, whole: runBatch({ plan, inputs, collect: ids }) };
}

test("batch equals itself for every size of chunk", () => {
  fc.assert(
    fc.property(scenario, (drawn) => {
      const { plan, ids, inputs, whole } = prepare(drawn);

      const chunked = runBatch({ plan, inputs, collect: ids, chunk: drawn.chunk });

      equalBits(chunked.columns, whole.columns);
      expect(chunked.evaluations).toEqual(whole.evaluations);
      expect(chunked.states).toEqual(whole.states);
    }),
    { seed: 11, numRuns: 200 },
  );
});

test("folds and derived values are the same in chunks of 1, 2, 7, 61, 997 and 2048 rows", () => {
  fc.assert(
    fc.property(folds, (drawn) => {
      const cells = Array.from({ length: 2_500 }, (_, k) => drawn.cells[k % drawn.cells.length]!);
      const { plan, ids, inputs, whole } = prepare({ ...drawn, cells });

      for (const chunk of [1, 2, 7, 61, 997, 2048]) {
        const chunked = runBatch({ plan, inputs, collect: ids, chunk });

        equalBits(chunked.columns, whole.columns);
        expect(chunked.states).toEqual(whole.states);
      }
    }),
    { seed: 15, numRuns: 10 },
  );
});

test.each(scenarios)(
  "step equals batch bit for bit, missing rows, evaluations and states included, for %s",
  (_what, drawing) => {
    fc.assert(
      fc.property(drawing, (drawn) => {
        const { plan, inputs, whole } = prepare(drawn);
        const step = new StepExecutor(plan, { chunk: drawn.stepChunk });

        for (const endMs of allTimes(whole.columns)) {
          if (!feed(step, plan, inputs, whole.columns, endMs)) continue;
          step.step(endMs);
          for (const [id, columns] of whole.columns) expectRow(step, id, columns, endMs);
        }

        for (const [id, count] of whole.evaluations)
          expect([id, step.evaluations(step.handle(id))]).toEqual([id, count]);
        for (const [id, bytes] of whole.states) expect(step.save(step.handle(id))).toEqual(bytes);
      }),
      { seed: 12, numRuns: 200 },
    );
  },
);

/** Recorded rows of the history nodes for the bucket that ends at `endMs`. */
function recordAt(
  step: StepExecutor,
  plan: Plan,
  columns: ReadonlyMap<string, BatchColumns>,
  endMs: number,
) {
  return plan.historyNodes.flatMap((id) => {
    const rows = columns.get(id)!;
    const i = rows.endMs.indexOf(endMs);
    if (i < 0) return [];
    const values = rows.missing[i] === 1 ? null : rows.values.map((column) => column[i]);
    return [[step.handle(id), values] as const];
  });
}

test.each(scenarios)(
  "a run split at a row through save and load goes on with the same bits, for %s",
  (_what, drawing) => {
    fc.assert(
      fc.property(drawing, (drawn) => {
        const { plan, inputs, whole } = prepare(drawn);
        const times = allTimes(whole.columns);
        const cut = drawn.split % times.length;
        const first = new StepExecutor(plan);
        for (const endMs of times.slice(0, cut)) {
          feed(first, plan, inputs, whole.columns, endMs);
          first.step(endMs);
        }
        const states = plan.nodes.map((_, k) => first.save(k));

        const second = new StepExecutor(plan, { chunk: drawn.stepChunk });
        const needed = plan.clocks.map((clock) => {
          const source = plan.nodes.find((n) => n.supplied && plan.clocks[n.clock] === clock)!;
          const past = [...whole.columns.get(source.id)!.endMs].filter(
            (t) => t < (times[cut] ?? Infinity),
          );
          return past.at(-plan.restoreRows) ?? past[0] ?? Infinity;
        });
        for (const endMs of times.slice(0, cut).filter((t) => t >= Math.min(...needed))) {
          if (!feed(second, plan, inputs, whole.columns, endMs, needed)) continue;
          second.restoreStep(endMs, recordAt(second, plan, whole.columns, endMs));
        }
        states.forEach((bytes, k) => {
          second.load(k, bytes);
        });

        for (const endMs of times.slice(cut)) {
          feed(second, plan, inputs, whole.columns, endMs);
          second.step(endMs);
          for (const [id, columns] of whole.columns) expectRow(second, id, columns, endMs);
        }
      }),
      { seed: 13, numRuns: 200 },
    );
  },
);

const record = (nodeId: string, rows: BatchColumns): BatchInput => ({
  nodeId,
  endMs: rows.endMs,
  columns: rows.values,
  missing: rows.missing,
});

test("a batch run on one clock goes on from states and recorded rows", () => {
  fc.assert(
    fc.property(scenario, (drawn) => {
      const single = drawn.draws.map((d) => ({
        ...d,
        delayed: false,
        modes: ["skip", "skip", "skip"] as const,
      }));
      const nodes = sources.slice(0, 1);
      single.forEach((d, k) => {
        nodes.push(makeNode(`n${k}`, d, nodes));
      });
      const graph: RuntimeGraph = { nodes };
      const ids = graph.nodes.map((node) => node.id);
      const plan = compilePlan({ graph, supplied: ["a"], wanted: ids });
      const input = makeInputs(drawn.cells)[0]!;
      const rows = input.endMs.length;
      const cut = drawn.split % rows;
      const slice = (x: BatchInput, from: number, to: number): BatchInput => ({
        ...x,
        endMs: x.endMs.slice(from, to),
        columns: x.columns.map((c) => c.slice(from, to)),
        missing: x.missing!.slice(from, to),
      });
      const whole = runBatch({ plan, inputs: [input], collect: ids });

      const head = runBatch({ plan, inputs: [slice(input, 0, cut)], collect: ids });
      const back = Math.min(cut, plan.restoreRows);
      const history = plan.historyNodes.map((id) => ({
        ...slice(record(id, whole.columns.get(id)!), cut - back, cut),
        firstRow: 0,
      }));
      const restore: BatchRestore = { rows: back, states: head.states, history };
      const tail = runBatch({
        plan,
        inputs: [slice(input, cut - back, rows)],
        collect: ids,
        restore,
        chunk: drawn.chunk,
      });

      for (const id of ids) {
        const expected = whole.columns.get(id)!.values.map((column) => [...column.slice(cut)]);
        expect([id, ...tail.columns.get(id)!.values.map((column) => [...column])]).toEqual([
          id,
          ...expected,
        ]);
      }
    }),
    { seed: 14, numRuns: 200 },
  );
});
