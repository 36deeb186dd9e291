import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { OrderBench } from "../../services/gateway/src/orders/testing/order-bench.ts";
import type { BenchRow } from "./bench-row.ts";
import { stopwatchMs } from "./engine-stopwatch.ts";
import { limitRow, referenceRow } from "./limit-row.ts";
import { type HistoryEnd, writeHistory } from "./long-history.ts";
import { median } from "./samples.ts";

export interface AccountStartOptions {
  /** Approximate number of journal entries. @default 100000 */
  entries?: number;
  /** Entries after the newest snapshot at a start after a kill. @default 9999: one more, and the next one is due */
  tailEntries?: number;
  /** Number of starts of each kind from a snapshot. @default 5 */
  starts?: number;
  /** Database to use; its schemas gateway and paper are dropped. @default one of its own */
  host?: PgliteHost;
}

/**
 * The start of the order path with one account that has a long history, an order per bar, all of them filled: schemas,
 * books, the paper broker's memory and the comparison with it. Once from the whole journal; then from snapshots of its
 * last entry, as after an orderly stop; then as after a kill, from a snapshot and all the entries that can follow one.
 */
export async function accountStartBench(options: AccountStartOptions = {}): Promise<BenchRow[]> {
  const { entries = 100_000, tailEntries = 9_999, starts = 5 } = options;
  await using own = options.host === undefined ? await openTestPglite() : undefined;
  const host = (options.host ?? own)!;
  const path = await OrderBench.open(host);
  const startMs = async (before: () => Promise<void>): Promise<number> => {
    let from = 0;
    path.whileDown = async () => {
      await before();
      from = stopwatchMs();
    };
    await path.restart();
    return stopwatchMs() - from;
  };
  try {
    await path.bar(0, 2_000);
    await path.promote({ A: 1 });
    const paper = host.db("paper");
    let end: HistoryEnd | undefined;
    const wholeMs = await startMs(async () => {
      end = await writeHistory(path, paper, entries);
      await path.db.query("DELETE FROM gateway.account_snapshot");
    });
    const tailMs: number[] = [];
    for (let at = 0; at < starts; at += 1) tailMs.push(await startMs(async () => {}));
    const killedMs: number[] = [];
    for (let at = 0; at < starts; at += 1) {
      const until = entries + (at + 1) * tailEntries;
      killedMs.push(
        await startMs(async () => {
          end = await writeHistory(path, paper, until, end);
        }),
      );
    }
    if (path.router.difference !== "") throw new Error(path.router.difference);
    return [
      referenceRow("account-start/whole-journal", wholeMs, "ms", 1),
      limitRow("account-start/from-snapshot", median(tailMs), "ms", starts, 1_000),
      limitRow("account-start/after-kill", median(killedMs), "ms", starts, 1_000),
    ];
  } finally {
    await path.orders.stop();
  }
}
