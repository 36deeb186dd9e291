import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { barrierLimitMs } from "./barrier-limit.ts";
import { type OpenPlatform, openDistributed, openEmbedded } from "./bench-platform.ts";
import type { BenchRow } from "./bench-row.ts";
import { limitRow, referenceRow } from "./limit-row.ts";
import { quantile } from "./samples.ts";
import { type FeedRun, WorldUnderLoad } from "./world-under-load.ts";

export interface PromotedWorldOptions {
  /** Bars measured, after some to warm up. @default 400 */
  bars?: number;
  /** Bars before them, of which the time alone is told. @default 400 */
  warmUps?: number;
}

/**
 * Three runners, each in a process of its own, in a replay world on `qmtl up` with the embedded database: promoted
 * twice, then the feed runs as fast as its barrier lets it. What is measured is a platform that has warmed up, as its
 * limit has, which is measured before and after.
 */
export function promotedWorldBench(options: PromotedWorldOptions = {}): Promise<BenchRow[]> {
  return benchOn(openEmbedded, "", options);
}

/** The same with three service processes on PostgreSQL and Kafka; its limit is that of the embedded database. */
export function distributedWorldBench(options: PromotedWorldOptions = {}): Promise<BenchRow[]> {
  return benchOn(openDistributed, "distributed/", options);
}

async function benchOn(
  platform: OpenPlatform,
  prefix: string,
  { bars = 400, warmUps = 400 }: PromotedWorldOptions,
): Promise<BenchRow[]> {
  const limitBefore = await barrierLimitMs({ bars });
  let toCompute: number;
  let toPaper: number;
  let first: FeedRun;
  let feed: FeedRun;
  {
    await using world = await WorldUnderLoad.open({ bars: warmUps + bars, platform });
    toCompute = await world.apply("bench-compute-only", EffectiveMode.COMPUTE_ONLY);
    toPaper = await world.apply("bench-paper", EffectiveMode.PAPER);
    first = await world.runFeed(warmUps);
    feed = await world.runFeed();
  }
  const limitMs = (limitBefore + (await barrierLimitMs({ bars }))) / 2;
  const { barToAccepted, targetToAccepted } = feed.times;
  const orders = barToAccepted.length;
  const sent = targetToAccepted.length;
  const msPerBar = feed.tookMs / bars;
  const rows = [
    limitRow("apply/to-compute-only", toCompute, "ms, 3 sessions", 1, 1_000),
    limitRow("apply/to-paper", toPaper, "ms, 3 sessions", 1, 1_000),
    limitRow("order/bar-to-accepted-p50", quantile(barToAccepted, 0.5), "ms", orders, 7),
    limitRow("order/bar-to-accepted-p99", quantile(barToAccepted, 0.99), "ms", orders, 30),
    limitRow("order/target-to-accepted-p50", quantile(targetToAccepted, 0.5), "ms", sent, 5),
    limitRow("order/target-to-accepted-p99", quantile(targetToAccepted, 0.99), "ms", sent, 25),
    referenceRow("feed/limit", limitMs, "ms/bar", 2 * bars),
    referenceRow("feed/first-bars", first.tookMs / warmUps, "ms/bar, 3 runners", warmUps),
    referenceRow("feed/bar-time", msPerBar, "ms/bar, 3 runners", bars),
    limitRow("feed/bar-over-limit", msPerBar / limitMs, "× feed/limit", bars, 5),
    referenceRow("feed/cpu-platform", feed.platformCpuMs / bars, "ms/bar", bars),
    referenceRow("feed/cpu-runners", feed.runnersCpuMs / bars, "ms/bar, 3 runners", bars),
    ...(prefix === ""
      ? [referenceRow("feed/statements", feed.statements / bars, "per bar", bars)]
      : []),
  ];
  return rows.map((row) => ({ ...row, name: `${prefix}${row.name}` }));
}
