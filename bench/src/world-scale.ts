import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { barrierLimitMs } from "./barrier-limit.ts";
import type { BenchRow } from "./bench-row.ts";
import { limitRow, referenceRow } from "./limit-row.ts";
import { median } from "./samples.ts";
import type { WaveShape } from "./wave-strategies.ts";
import { type FeedRun, sum, type WorldOptions, WorldUnderLoad } from "./world-under-load.ts";

const mebibyte = 1024 * 1024;

/**
 * One world on one feed, then one on four feeds whose rows end together, each traded by all of three runner processes:
 * time and processor time per row of the file, so the second has four bars in it. As many rows before them warm up.
 */
export async function fourFeedsBench({ bars = 300 } = {}): Promise<BenchRow[]> {
  const warmUps = bars;
  const one = await paperRun({ bars, warmUps });
  const four = await paperRun({ bars, warmUps, feeds: 4 });
  const unit = "ms/row of 4 bars";
  return [
    referenceRow("four-feeds/one-bar-time", one.tookMs / bars, "ms/bar", bars),
    referenceRow("four-feeds/row-time", four.tookMs / bars, unit, bars),
    limitRow("four-feeds/over-one", four.tookMs / one.tookMs, "× one feed", bars, 1.5),
    referenceRow("four-feeds/cpu-platform", four.platformCpuMs / bars, unit, bars),
    referenceRow("four-feeds/cpu-runners", four.runnersCpuMs / bars, unit, bars),
    referenceRow("four-feeds/statements", four.statements / bars, "per row of 4 bars", bars),
  ];
}

/**
 * Three runner processes that may only compute, on a feed that is let run to its end: rows are published, computed and
 * marked, and the runners end each bar, but no order is made. As a world catches up. As many rows before them warm up.
 */
export async function catchUpBench({ bars = 400 } = {}): Promise<BenchRow[]> {
  const limitBefore = await barrierLimitMs({ bars });
  const feed = await computeRun({ bars, warmUps: bars });
  const limitMs = (limitBefore + (await barrierLimitMs({ bars }))) / 2;
  const msPerBar = feed.tookMs / bars;
  return [
    referenceRow("catch-up/limit", limitMs, "ms/bar", 2 * bars),
    referenceRow("catch-up/bar-time", msPerBar, "ms/bar", bars),
    limitRow("catch-up/bar-over-limit", msPerBar / limitMs, "× catch-up/limit", bars, 3.6),
    referenceRow("catch-up/cpu-platform", feed.platformCpuMs / bars, "ms/bar", bars),
    referenceRow("catch-up/cpu-runners", feed.runnersCpuMs / bars, "ms/bar", bars),
  ];
}

/**
 * An apply to paper by a policy that lets two of three strategies trade: from the freeze commit to COMPLETED, which
 * waits until every session was answered, the one that is refused a lease included.
 */
export async function refusedApplyBench({ applies = 3 } = {}): Promise<BenchRow[]> {
  const tookMs: number[] = [];
  for (let at = 0; at < applies; at++) {
    await using world = await WorldUnderLoad.open({ bars: 1, topK: 2 });
    await world.apply("bench-compute-only", EffectiveMode.COMPUTE_ONLY);
    tookMs.push(await world.apply("bench-paper", EffectiveMode.PAPER));
    const trading = (await world.reports()).filter(({ mode }) => mode === "paper").length;
    if (trading !== 2) throw new Error(`${trading} of three strategies may trade`);
  }
  return [limitRow("apply/one-of-three-refused", median(tookMs), "ms", applies, 500)];
}

/**
 * Twenty strategies on one feed, with 17 computed nodes that all of them have and two of their own: a process for each,
 * and all in one worker, both warm. Evaluations are held against one of each distinct node per bar, the sum of the
 * queues that the processes publish; the worker's processor time and memory against those of the twenty processes.
 */
export async function sharedNodesBench({ bars = 60, strategies = 20 } = {}): Promise<BenchRow[]> {
  const shapes = Array.from({ length: strategies }, (_, at): WaveShape => {
    return { name: `wave${at}`, long: 51 + at, shared: 13, own: 2 };
  });
  const warmUps = 2 * bars;
  const apart = await paperRun({ bars, warmUps, shapes });
  const worker = await paperRun({ bars, warmUps, shapes, isWorker: true });
  const runners = `${strategies} processes`;
  const cpuOf = ({ platformCpuMs, runnersCpuMs }: FeedRun): number => platformCpuMs + runnersCpuMs;
  const cpu = worker.runnersCpuMs / apart.runnersCpuMs;
  const memory = memoryOf(worker) / memoryOf(apart);
  return [
    referenceRow("twenty/bar-time", apart.tookMs / bars, `ms/bar, ${runners}`, bars),
    referenceRow("twenty/cpu-platform", apart.platformCpuMs / bars, "ms/bar", bars),
    referenceRow("twenty/cpu-runners", apart.runnersCpuMs / bars, `ms/bar, ${runners}`, bars),
    referenceRow("twenty/memory-runners", memoryOf(apart), `MiB, ${runners}`, strategies),
    limitRow("twenty/evaluations", evaluationsOf(apart, bars), "× distinct nodes", bars, 1.05),
    referenceRow("worker/bar-time", worker.tookMs / bars, "ms/bar, one process", bars),
    referenceRow("worker/cpu-platform", worker.platformCpuMs / bars, "ms/bar", bars),
    referenceRow("worker/cpu-runner", worker.runnersCpuMs / bars, "ms/bar, one process", bars),
    referenceRow("worker/memory", memoryOf(worker), "MiB, one process", 1),
    limitRow("worker/evaluations", evaluationsOf(worker, bars), "× distinct nodes", bars, 1.05),
    limitRow("worker/cpu", cpu, `× ${runners}`, bars, 0.25),
    referenceRow("worker/cpu-in-all", cpuOf(worker) / cpuOf(apart), `× ${runners}`, bars),
    referenceRow("worker/memory-ratio", memory, `× ${runners}`, bars),
  ];
}

/** Row evaluations of runners, held against one of each distinct node per bar. */
function evaluationsOf({ before, after }: FeedRun, bars: number): number {
  const distinct = sum(after, ({ heldQueues }) => heldQueues) * bars;
  return (sum(after, ranEvaluations) - sum(before, ranEvaluations)) / distinct;
}

/** Resident memory of all runners, MiB. */
const memoryOf = ({ after }: FeedRun): number => sum(after, ({ rssBytes }) => rssBytes) / mebibyte;

/**
 * What one runner process with 20 queues keeps for each row of a long feed: heap and external memory after a garbage
 * collection, from a third of the feed, when it has begun to free rows, to the end. Nothing else runs in the process.
 */
export async function runnerMemoryBench({ bars = 3_072 } = {}): Promise<BenchRow[]> {
  const shape: WaveShape = { name: "long", long: 60, shared: 14 };
  await using world = await WorldUnderLoad.open({ bars, shapes: [shape] });
  await world.apply("bench-compute-only", EffectiveMode.COMPUTE_ONLY);
  await world.runFeed(Math.floor(bars / 3));
  const keptBefore = await world.keptBytes();
  const { after } = await world.runFeed();
  const kept = await world.keptBytes();
  const rows = bars - Math.floor(bars / 3);
  const queues = sum(after, ({ heldQueues }) => heldQueues);
  return [
    referenceRow("runner-memory/queues", queues, "published", 1),
    referenceRow("runner-memory/kept", kept / mebibyte, "MiB at the end", 1),
    limitRow("runner-memory/growth", (kept - keptBefore) / rows, "bytes/row", rows, 500),
  ];
}

const ranEvaluations = ({ evaluations }: { readonly evaluations: number }): number => evaluations;

/** A world, and how many rows of its feeds run before those that are measured. */
interface MeasuredWorld extends WorldOptions {
  readonly warmUps: number;
}

/** Feeds to their end, once warm, in a world that was promoted to paper. */
function paperRun(options: MeasuredWorld): Promise<FeedRun> {
  return warmRun(options, async (world) => {
    await world.apply("bench-compute-only", EffectiveMode.COMPUTE_ONLY);
    await world.apply("bench-paper", EffectiveMode.PAPER);
  });
}

/** The same in a world whose strategies may only compute. */
function computeRun(options: MeasuredWorld): Promise<FeedRun> {
  return warmRun(options, async (world) => {
    await world.apply("bench-compute-only", EffectiveMode.COMPUTE_ONLY);
  });
}

async function warmRun(
  { warmUps, bars, ...options }: MeasuredWorld,
  promote: (world: WorldUnderLoad) => Promise<void>,
): Promise<FeedRun> {
  await using world = await WorldUnderLoad.open({ ...options, bars: warmUps + bars });
  await promote(world);
  await world.runFeed(warmUps);
  return await world.runFeed();
}
