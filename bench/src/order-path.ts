import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { OrderBench } from "../../services/gateway/src/orders/testing/order-bench.ts";
import type { BenchRow } from "./bench-row.ts";
import { stopwatchMs } from "./engine-stopwatch.ts";
import { limitRow } from "./limit-row.ts";
import { quantile } from "./samples.ts";

export interface OrderPathOptions {
  /** Bars, each with an order. @default 200 */
  bars?: number;
  /** Database to use; its schemas gateway and paper are dropped. @default one of its own */
  host?: PgliteHost;
}

const strategy = "s-1";
const warmUps = 10;

/**
 * The order path alone, with nothing else on the database: a sealed bar is booked (returns, fills of the previous
 * order), then a target flips, and its order is journaled and accepted by the paper broker. All commits are durable.
 */
export async function orderPathBench(options: OrderPathOptions = {}): Promise<BenchRow[]> {
  const { bars = 200 } = options;
  await using own = options.host === undefined ? await openTestPglite() : undefined;
  const path = await OrderBench.open((options.host ?? own)!);
  const barMs: number[] = [];
  const targetMs: number[] = [];
  try {
    await path.bar(0, 2_000);
    await path.promote({ [strategy]: 1 });
    for (let row = 1; row <= bars + warmUps; row++) {
      const start = stopwatchMs();
      await path.bar(row, 2_000 + (row % 7));
      const booked = stopwatchMs();
      const { results = [] } = await path.end(strategy, row, row % 2 === 0 ? 0.25 : 0.75);
      const end = stopwatchMs();
      const result = results[0];
      const orders = result?.clientOrderIds?.length ?? 0;
      if (orders !== 1) throw new Error(`row ${row}: ${orders} orders, ${result?.reason}`);
      if (row <= warmUps) continue;
      barMs.push(end - start);
      targetMs.push(end - booked);
    }
  } finally {
    await path.orders.stop();
  }
  return [
    limitRow("order-path/bar-to-accepted-p50", quantile(barMs, 0.5), "ms", bars, 5),
    limitRow("order-path/bar-to-accepted-p99", quantile(barMs, 0.99), "ms", bars, 25),
    limitRow("order-path/target-to-accepted-p50", quantile(targetMs, 0.5), "ms", bars, 1.3),
    limitRow("order-path/target-to-accepted-p99", quantile(targetMs, 0.99), "ms", bars, 25),
  ];
}
