import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import type { BenchRow } from "./bench-row.ts";
import { stopwatchMs } from "./engine-stopwatch.ts";
import { referenceRow } from "./limit-row.ts";
import { median } from "./samples.ts";

export interface DurableCommitOptions {
  /** @default 300 */
  commits?: number;
  /** Database to use, in its schema `bench`. @default one of its own */
  host?: PgliteHost;
}

/** Median milliseconds of transactions, one after the other, that each insert 200 bytes into the embedded database. */
export async function durableCommitMs(commits: number, host?: PgliteHost): Promise<number> {
  await using own = host === undefined ? await openTestPglite() : undefined;
  const db = (host ?? own)!.db("bench");
  await db.script(
    "create schema bench; create table bench.line (id bigint primary key, text text)",
  );
  const text = "x".repeat(200);
  const times: number[] = [];
  for (let id = 0; id < commits; id++) {
    const start = stopwatchMs();
    await db.transaction((tx) => tx.query("insert into bench.line values ($1, $2)", [id, text]));
    times.push(stopwatchMs() - start);
  }
  return median(times.slice(Math.floor(commits / 10)));
}

/** Time of a durable commit: no path that promises one can be faster. */
export async function durableCommitBench(options: DurableCommitOptions = {}): Promise<BenchRow[]> {
  const { commits = 300, host } = options;
  return [referenceRow("store/commit", await durableCommitMs(commits, host), "ms", commits)];
}
