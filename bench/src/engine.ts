import { type Plan, runBatch, StepExecutor } from "@qmtl/core/dataflow";
import type { BenchRow } from "./bench-row.ts";
import { handCross } from "./engine-hand-cross.ts";
import { interleavedMedians } from "./engine-stopwatch.ts";
import { crossPlan, indicatorPlan, minutes, randomWalk, userPlan } from "./engine-workloads.ts";

const ROWS = 1_000_000;
const SAMPLES = 7;
const WARM_ROWS = 64;
const WARM_CALLS = 4000;
const FAST = 10;
const SLOW = 30;
const FEE = 0.0002;

interface Data {
  readonly close: Float64Array;
  readonly endMs: Float64Array;
}

function batch(plan: Plan, { close, endMs }: Data): void {
  runBatch({ plan, inputs: [{ nodeId: "close", endMs, columns: [close] }], collect: [] });
}

function step(plan: Plan, { close, endMs }: Data): void {
  const executor = new StepExecutor(plan);
  const handle = executor.handle("close");
  const values = [0];
  for (let i = 0; i < close.length; i++) {
    values[0] = close[i]!;
    executor.push(handle, i, endMs[i]!, values);
    executor.step(endMs[i]!);
  }
}

/** Warms up a reference loop: it runs faster once it has been entered often, and a cold one flatters the engine. */
function warm(call: () => void, calls = WARM_CALLS): void {
  for (let k = 0; k < calls; k++) call();
}

function ratioRow(name: string, measured: number, hand: number, limit: number): BenchRow {
  const value = measured / hand;
  return {
    name: `engine/${name}`,
    value,
    unit: "× hand loop",
    samples: SAMPLES,
    limit_name: `≤ ${limit} × hand loop`,
    ratio_to_limit: value / limit,
  };
}

function crossRows(data: Data): BenchRow[] {
  const plan = crossPlan(FAST, SLOW, FEE);
  const out = new Float64Array(ROWS);
  warm(() => handCross(data.close, out, WARM_ROWS, FAST, SLOW, FEE));
  const times = interleavedMedians(
    {
      hand: () => handCross(data.close, out, ROWS, FAST, SLOW, FEE),
      batch: () => batch(plan, data),
      step: () => step(plan, data),
    },
    SAMPLES,
  );
  return [
    nanosecondsRow("sma-cross/hand", times.hand!),
    ratioRow("sma-cross/batch", times.batch!, times.hand!, 2),
    ratioRow("sma-cross/step", times.step!, times.hand!, 10),
  ];
}

function indicatorRows(data: Data): BenchRow[] {
  const { plan, hand, columns } = indicatorPlan();
  const outs = columns.map((count) => Array.from({ length: count }, () => new Float64Array(ROWS)));
  const short = outs.map((group) => group.map((out) => out.subarray(0, WARM_ROWS)));
  warm(() => hand(data.close, short), WARM_CALLS / 4);
  const times = interleavedMedians(
    {
      hand: () => hand(data.close, outs),
      batch: () => batch(plan, data),
      step: () => step(plan, data),
    },
    SAMPLES,
  );
  return [
    nanosecondsRow("20-indicators/hand", times.hand!),
    ratioRow("20-indicators/batch", times.batch!, times.hand!, 1.3),
    ratioRow("20-indicators/step", times.step!, times.hand!, 3),
  ];
}

function nanosecondsRow(name: string, ms: number): BenchRow {
  const value = (ms * 1e6) / ROWS;
  return {
    name: `engine/${name}`,
    value,
    unit: "ns/bar",
    samples: SAMPLES,
    limit_name: "none (reference)",
    ratio_to_limit: 0,
  };
}

function inlineDifference(x: Float64Array, out: Float64Array, rows: number): void {
  for (let i = 4; i < rows; i++) out[i] = x[i]! - x[i - 4]!;
}

function userRows(data: Data): BenchRow[] {
  const plan = userPlan();
  const out = new Float64Array(ROWS);
  warm(() => inlineDifference(data.close, out, WARM_ROWS));
  const times = interleavedMedians(
    { hand: () => inlineDifference(data.close, out, ROWS), batch: () => batch(plan, data) },
    SAMPLES,
  );
  const value = ((times.batch! - times.hand!) * 1e6) / ROWS;
  return [
    {
      name: "engine/user-compute",
      value,
      unit: "ns/call over inline",
      samples: SAMPLES,
      limit_name: "≤ 15 ns over inline",
      ratio_to_limit: value / 15,
    },
  ];
}

/** Speed of the engine against warmed hand loops that do the same work, one million bars. */
export async function engineBench(): Promise<BenchRow[]> {
  const data = { close: randomWalk(ROWS, 7), endMs: minutes(ROWS) };
  return [...crossRows(data), ...indicatorRows(data), ...userRows(data)];
}
