import { compilePlan, runBatch } from "@qmtl/core/dataflow";
import { OfflineAccount } from "@qmtl/core/execution";
import type { BenchRow } from "./bench-row.ts";
import { type HandBars, handExecution } from "./engine-hand-execution.ts";
import { interleavedMedians } from "./engine-stopwatch.ts";
import { crossVariant, minutes, randomWalk } from "./engine-workloads.ts";
import { limitRow, referenceRow } from "./limit-row.ts";

const ROWS = 1_000_000;
const SAMPLES = 7;
const WARM_ROWS = 64;
const WARM_CALLS = 4000;
const CROSSING = { fast: 10, slow: 30 };
const COSTS = { capital: 1e6, lotUnit: 0.001, fee: 2e-6, halfSpread: 1e-6 };
const TIMES_HAND_MAX = 8;
const NS_A_BAR_MAX = 150;

/** Bars of a random walk: each opens where the last one closed, and reaches a little beyond both. */
export interface ExecutionBars extends HandBars {
  readonly high: Float64Array;
  readonly low: Float64Array;
  readonly endMs: Float64Array;
}

export function executionBars(rows: number): ExecutionBars {
  const close = randomWalk(rows, 7);
  const open = Float64Array.from(close, (_, i) => close[Math.max(0, i - 1)]!);
  const high = open.map((price, i) => Math.max(price, close[i]!) * 1.0005);
  const low = open.map((price, i) => Math.min(price, close[i]!) * 0.9995);
  return { open, high, low, close, endMs: minutes(rows) };
}

/** The signal as a batch run over the closes: 1 while the fast average is above the slow one. */
export function crossingTargets({ close, endMs }: ExecutionBars): Float64Array {
  const { graph } = crossVariant(CROSSING.fast, CROSSING.slow, 0);
  const side = `side-${CROSSING.fast}-${CROSSING.slow}`;
  const plan = compilePlan({ graph, supplied: ["close"], wanted: [side] });
  const inputs = [{ nodeId: "close", endMs, columns: [close] }];
  const column = runBatch({ plan, inputs, collect: [side] }).columns.get(side)!.values[0];
  return column instanceof Float64Array ? column : new Float64Array(0);
}

/** Trades a target column through the router and the broker that paper uses, with fees, spread and ticks. */
export function tradeTargets(bars: ExecutionBars, targets: Float64Array): OfflineAccount {
  const { open, high, low, close } = bars;
  const account = new OfflineAccount({
    instruments: [
      {
        symbol: "X",
        lotSize: String(COSTS.lotUnit),
        tick: 0.01,
        costs: { feeBps: COSTS.fee * 1e4, halfSpreadBps: COSTS.halfSpread * 1e4 },
      },
    ],
    capital: COSTS.capital,
    rowsExpected: close.length,
  });
  for (let i = 0; i < close.length; i++) {
    account.step(i, open[i]!, high[i]!, low[i]!, close[i]!, targets[i]!);
  }
  return account;
}

/** Equity of the hand loop. */
export function handEquity(bars: ExecutionBars, equity: Float64Array, rows: number): void {
  handExecution(bars, equity, rows, CROSSING, COSTS);
}

/** Signal, sizing, orders, fills with costs and equity: with an order where averages cross, and with one every bar. */
export async function engineExecutionBench(
  options: { rows?: number; samples?: number } = {},
): Promise<BenchRow[]> {
  const { rows = ROWS, samples = SAMPLES } = options;
  const bars = executionBars(rows);
  const equity = new Float64Array(rows);
  for (let k = 0; k < WARM_CALLS; k++) handEquity(bars, equity, Math.min(WARM_ROWS, rows));
  const dense = Float64Array.from(bars.close, (_, i) => (i + 1) % 2);
  const orders = { crossing: 0, dense: 0 };
  const times = interleavedMedians(
    {
      hand: () => handEquity(bars, equity, rows),
      crossing: () => {
        orders.crossing = tradeTargets(bars, crossingTargets(bars)).orders.length;
      },
      dense: () => {
        orders.dense = tradeTargets(bars, dense).orders.length;
      },
    },
    samples,
  );
  const ns = (ms: number, count: number): number => (ms * 1e6) / count;
  const ratio = times.crossing! / times.hand!;
  return [
    referenceRow("engine/execution/hand", ns(times.hand!, rows), "ns/bar", samples),
    limitRow("engine/execution/ratio", ratio, "× hand loop", samples, TIMES_HAND_MAX),
    limitRow("engine/execution/bar", ns(times.crossing!, rows), "ns/bar", samples, NS_A_BAR_MAX),
    referenceRow("engine/execution/orders", (100 * orders.crossing) / rows, "orders/100 bars", 1),
    referenceRow("engine/execution/dense", ns(times.dense!, orders.dense), "ns/order", samples),
  ];
}
