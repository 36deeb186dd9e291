import { accountStartBench } from "./account-start.ts";
import type { BenchRow } from "./bench-row.ts";
import { durableCommitBench } from "./durable-commit.ts";
import { engineBench } from "./engine.ts";
import { engineExecutionBench } from "./engine-execution.ts";
import { engineSweepBench } from "./engine-sweep.ts";
import { fanOutBench } from "./fan-out.ts";
import { identityBench } from "./identity.ts";
import { orderPathBench } from "./order-path.ts";
import { promotedWorldBench } from "./promoted-world.ts";
import { queueRecordsBench } from "./queue-records.ts";
import { submissionsBench } from "./submissions.ts";
import { unaryServerBench } from "./unary-server.ts";

/** Rows that are measured together. */
export interface BenchGroup {
  /** Names of its rows; a group of which none matches the filter is not run. */
  readonly names: readonly string[];
  readonly run: () => Promise<BenchRow[]>;
}

/** Every group, in the order they are run: one after the other, since they would disturb each other. */
export const benchGroups: readonly BenchGroup[] = [
  {
    names: [
      ...["hand", "batch", "step"].flatMap((way) => [
        `engine/sma-cross/${way}`,
        `engine/20-indicators/${way}`,
      ]),
      "engine/user-compute",
    ],
    run: engineBench,
  },
  {
    names: ["hand", "ratio", "bar", "orders", "dense"].map((row) => `engine/execution/${row}`),
    run: engineExecutionBench,
  },
  {
    names: ["engine/sweep/merged", "engine/sweep/distinct", "engine/sweep/two-workers"],
    run: engineSweepBench,
  },
  { names: ["identity/blake3", "identity/node-id"], run: identityBench },
  { names: ["records/decode-single", "records/decode-run"], run: queueRecordsBench },
  { names: ["store/commit"], run: durableCommitBench },
  {
    names: [
      "server/unary-bare-rate",
      "server/unary-bare-cpu",
      "server/unary-time",
      "server/unary-cpu",
    ],
    run: unaryServerBench,
  },
  { names: ["fan-out/bare-http2", "fan-out/server", "fan-out/server-time"], run: fanOutBench },
  {
    names: [
      "order-path/bar-to-accepted-p50",
      "order-path/bar-to-accepted-p99",
      "order-path/target-to-accepted-p50",
      "order-path/target-to-accepted-p99",
    ],
    run: orderPathBench,
  },
  {
    names: ["account-start/whole-journal", "account-start/from-snapshot"],
    run: accountStartBench,
  },
  {
    names: ["submit/rate", "submit/commits", "submit/ack-p95", "submit/completed-p95"],
    run: submissionsBench,
  },
  {
    names: [
      "apply/to-compute-only",
      "apply/to-paper",
      "order/bar-to-accepted-p50",
      "order/bar-to-accepted-p99",
      "order/target-to-accepted-p50",
      "order/target-to-accepted-p99",
      "feed/rate",
      "feed/bar-time",
    ],
    run: promotedWorldBench,
  },
];
