import {
  compilePlan,
  type NodeKernel,
  observedClock,
  type Plan,
  runBatch,
  StepExecutor,
} from "@qmtl/core/dataflow";
import { columns, derive, FoldNode, ProcessingNode, type Series, StreamInput } from "@qmtl/sdk";
import type { BenchRow } from "./bench-row.ts";
import { interleavedMedians } from "./engine-stopwatch.ts";
import { minutes, randomWalk } from "./engine-workloads.ts";

const MINUTE_MS = 60_000;

interface FunctionsBench {
  /** @default 400000 */
  readonly rows?: number;
  /** @default 9 */
  readonly samples?: number;
}

/** The same difference of two columns as a function of windows, of newest values, and as a fold that counts. */
function differences(): Readonly<Record<"window" | "value" | "fold", NodeKernel>> {
  const bars = new StreamInput({ source: "bars", columns: ["y", "x"], interval: "1m" });
  const inputs = columns(bars);
  const window = new ProcessingNode({
    inputs,
    compute: (w) => w.y.latest() - w.x.latest(),
  });
  const fold = new FoldNode({
    inputs,
    initial: { last: 0 },
    step: (state, values) => {
      state.last = values.y - values.x;
      return state.last;
    },
  });
  const value: Series = derive(inputs, (values) => values.y - values.x);
  return { window: window.kernel(1), value: value.kernel(1)!, fold: fold.kernel() };
}

/** A plan of one node over both columns of a source. */
function planOf(kernel: NodeKernel): Plan {
  const outputs = ["f64", "f64"] as const;
  const clock = observedClock("bars", MINUTE_MS);
  const source = { id: "bars", name: "bars", intervalMs: MINUTE_MS, outputs, inputs: [], clock };
  const inputs = ["y", "x"].map((port, output) => ({ port, node: "bars", output }));
  const node = {
    id: "f",
    name: "f",
    intervalMs: MINUTE_MS,
    outputs: ["f64"] as const,
    inputs,
    kernel,
  };
  return compilePlan({ graph: { nodes: [source, node] }, supplied: ["bars"], wanted: ["f"] });
}

/** A kernel that is told that its ports show NaN, so that it looks for none. */
function unguarded(kernel: NodeKernel): NodeKernel {
  return {
    ...kernel,
    create: () => {
      const made = kernel.create();
      const bind = made.bind.bind(made);
      made.bind = (inputs, outputs, ports) => {
        bind(inputs, outputs, { ...ports, showsNan: () => true });
      };
      return made;
    },
  };
}

/** Functions of authors against each other: a fold, and what it costs to pass over rows without a value. */
export async function engineFunctionsBench({
  rows = 400_000,
  samples = 9,
}: FunctionsBench = {}): Promise<BenchRow[]> {
  const made = [randomWalk(rows, 3), randomWalk(rows, 5)] as const;
  const endMs = minutes(rows);
  const batch = (plan: Plan) => () => {
    runBatch({ plan, inputs: [{ nodeId: "bars", endMs, columns: made }], collect: [] });
  };
  const step = (plan: Plan) => () => {
    const executor = new StepExecutor(plan);
    const handle = executor.handle("bars");
    const values = [0, 0];
    for (let i = 0; i < rows; i++) {
      values[0] = made[0][i]!;
      values[1] = made[1][i]!;
      executor.push(handle, i, endMs[i]!, values);
      executor.step(endMs[i]!);
    }
  };
  const kernels = differences();
  const [window, value, fold] = [kernels.window, kernels.value, kernels.fold].map(planOf);
  const unseen = planOf(unguarded(kernels.window));
  const times = interleavedMedians(
    {
      windowBatch: batch(window!),
      valueBatch: batch(value!),
      foldBatch: batch(fold!),
      windowStep: step(window!),
      valueStep: step(value!),
      foldStep: step(fold!),
      unseenStep: step(unseen),
    },
    samples,
  );
  const ratio = (name: string, measured: number, by: number, unit: string, limit: number) => ({
    name: `engine/functions/${name}`,
    value: measured / by,
    unit,
    samples,
    limit_name: `≤ ${limit} ${unit}`,
    ratio_to_limit: measured / by / limit,
  });
  const windows = "× ProcessingNode";
  return [
    {
      name: "engine/functions/window",
      value: (times.windowBatch! * 1e6) / rows,
      unit: "ns/bar",
      samples,
      limit_name: "none (reference)",
      ratio_to_limit: 0,
    },
    ratio("derive-batch", times.valueBatch!, times.windowBatch!, windows, 2),
    ratio("derive-step", times.valueStep!, times.windowStep!, windows, 1.4),
    ratio("fold-batch", times.foldBatch!, times.windowBatch!, windows, 2),
    ratio("fold-step", times.foldStep!, times.windowStep!, windows, 1.4),
    ratio("nan-skip-step", times.windowStep!, times.unseenStep!, "× without looking for NaN", 1.3),
  ];
}
