import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { BenchRow } from "./bench-row.ts";
import { limitRow, referenceRow } from "./limit-row.ts";
import { quantile } from "./samples.ts";
import { openWorldUnderLoad } from "./world-under-load.ts";

export interface PromotedWorldOptions {
  /** Bars of the feed. @default 120 */
  bars?: number;
}

/**
 * Three runners in a replay world on the real platform, in a process of its own with the embedded database: promoted
 * twice, then the feed runs as fast as its barrier lets it. Every order is a commit of the journal and one of the
 * paper broker.
 */
export async function promotedWorldBench(options: PromotedWorldOptions = {}): Promise<BenchRow[]> {
  const { bars = 120 } = options;
  await using world = await openWorldUnderLoad(bars);
  const toCompute = await world.apply("bench-compute-only", EffectiveMode.COMPUTE_ONLY);
  const toPaper = await world.apply("bench-paper", EffectiveMode.PAPER);
  const tookMs = await world.runFeed();
  const { barToAccepted, targetToAccepted } = world.times;
  const orders = barToAccepted.length;
  const sent = targetToAccepted.length;
  const msPerBar = tookMs / bars;
  return [
    limitRow("apply/to-compute-only", toCompute, "ms, 3 sessions", 1, 1_000),
    limitRow("apply/to-paper", toPaper, "ms, 3 sessions", 1, 1_000),
    limitRow("order/bar-to-accepted-p50", quantile(barToAccepted, 0.5), "ms", orders, 5),
    limitRow("order/bar-to-accepted-p99", quantile(barToAccepted, 0.99), "ms", orders, 25),
    limitRow("order/target-to-accepted-p50", quantile(targetToAccepted, 0.5), "ms", sent, 5),
    limitRow("order/target-to-accepted-p99", quantile(targetToAccepted, 0.99), "ms", sent, 25),
    referenceRow("feed/rate", 1e3 / msPerBar, "bars/s", bars),
    limitRow("feed/bar-time", msPerBar, "ms, 3 runners", bars, 20),
  ];
}
