import {
  type BatchInput,
  CHUNK_ROWS,
  mergeGraphs,
  runSweep,
  runSweepInWorkers,
} from "@qmtl/core/dataflow";
import type { BenchRow } from "./bench-row.ts";
import { interleavedMedians, stopwatchMs } from "./engine-stopwatch.ts";
import { SWEEP_VARIANTS, sweepVariant } from "./engine-sweep-variants.ts";
import { minutes, randomWalk } from "./engine-workloads.ts";
import { limitRow, referenceRow } from "./limit-row.ts";
import { median } from "./samples.ts";

const ROWS = 300_000;
const WORKER_ROWS = 1_000_000;
const SAMPLES = 5;

/**
 * Two hundred variants of the crossing as one graph: compared with its distinct nodes, each alone and without an engine
 * around it, and one worker thread compared with two, thread start included.
 */
export async function engineSweepBench(
  options: { rows?: number; workerRows?: number; samples?: number; variants?: number } = {},
): Promise<BenchRow[]> {
  const { rows = ROWS, workerRows = WORKER_ROWS, samples = SAMPLES } = options;
  const count = options.variants ?? SWEEP_VARIANTS;
  const close = randomWalk(rows, 7);
  const inputs: BatchInput[] = [{ nodeId: "close", endMs: minutes(rows), columns: [close] }];
  const variants = Array.from({ length: count }, (_, index) => sweepVariant(index));
  const alone = nodesAlone(variants, close);
  const times = interleavedMedians(
    { alone: () => alone(rows), merged: () => runSweep({ variants, inputs }) },
    samples,
  );
  const perVariant = (times.merged! * 1e6) / rows / count;
  const ratio = times.merged! / times.alone!;
  const share = await shareOfTwoWorkers(workerRows, count, samples);
  return [
    referenceRow("engine/sweep/merged", perVariant, "ns/variant-bar", samples),
    limitRow("engine/sweep/distinct", ratio, "× sum of distinct nodes", samples, 1.3),
    limitRow("engine/sweep/two-workers", share, "of the time of one", samples, 1 / 1.7),
  ];
}

/** Time of two workers ÷ time of one. */
async function shareOfTwoWorkers(rows: number, variants: number, samples: number): Promise<number> {
  const inputs = [{ nodeId: "close", endMs: minutes(rows), columns: [randomWalk(rows, 7)] }];
  const module = new URL("./engine-sweep-variants.ts", import.meta.url).href;
  const times: Readonly<Record<1 | 2, number[]>> = { 1: [], 2: [] };
  for (let k = 0; k < samples; k++) {
    for (const workersMax of [1, 2] as const) {
      const began = stopwatchMs();
      await runSweepInWorkers({ module, variants, inputs, workersMax });
      times[workersMax].push(stopwatchMs() - began);
    }
  }
  return median(times[2]) / median(times[1]);
}

/** Every distinct kernel of the variants over columns of its own, chunk by chunk, the same chunk again and again. */
function nodesAlone(
  variants: readonly ReturnType<typeof sweepVariant>[],
  close: Float64Array,
): (rows: number) => void {
  const { nodes } = mergeGraphs(variants.map((variant) => variant.graph));
  const lookback = Math.max(...nodes.map((node) => node.kernel?.lookback ?? 0));
  const columns = new Map([["close", close.slice(0, lookback + CHUNK_ROWS)]]);
  const runs = nodes.flatMap((node) => {
    const kernel = node.kernel?.create();
    if (kernel === undefined) return [];
    const out = new Float64Array(lookback + CHUNK_ROWS).fill(Number.NaN);
    columns.set(node.id, out);
    kernel.bind(
      node.inputs.map((input) => columns.get(input.node)!),
      [out],
      { rowOf: () => null, baseOf: () => 0, showsNan: () => false },
    );
    return [kernel];
  });
  return (rows) => {
    for (const kernel of runs) {
      for (let done = 0; done < rows; done += CHUNK_ROWS) {
        kernel.run(lookback, lookback + Math.min(CHUNK_ROWS, rows - done), done);
      }
    }
  };
}
