import { accountStartBench } from "./account-start.ts";
import { whyNoServers } from "./bench-platform.ts";
import type { BenchRow } from "./bench-row.ts";
import { durableCommitBench } from "./durable-commit.ts";
import { engineBench } from "./engine.ts";
import { engineExecutionBench } from "./engine-execution.ts";
import { engineFunctionsBench } from "./engine-functions.ts";
import { engineSweepBench } from "./engine-sweep.ts";
import { fanOutBench } from "./fan-out.ts";
import { identityBench } from "./identity.ts";
import { orderPathBench } from "./order-path.ts";
import { distributedWorldBench, promotedWorldBench } from "./promoted-world.ts";
import { queueRecordsBench } from "./queue-records.ts";
import { distributedSubmissionsBench, submissionsBench } from "./submissions.ts";
import { unaryServerBench } from "./unary-server.ts";
import {
  catchUpBench,
  fourFeedsBench,
  refusedApplyBench,
  runnerMemoryBench,
  sharedNodesBench,
} from "./world-scale.ts";

/** Rows that are measured together. */
export interface BenchGroup {
  /** Names of its rows; a group of which none matches the filter is not run. */
  readonly names: readonly string[];
  readonly run: () => Promise<BenchRow[]>;
  /** Why it cannot be run on this machine; undefined if it can. @default it can */
  readonly whyNot?: () => string | undefined;
}

/** Rows of a promoted world, in whatever shape. */
const worldRows = [
  "apply/to-compute-only",
  "apply/to-paper",
  "order/bar-to-accepted-p50",
  "order/bar-to-accepted-p99",
  "order/target-to-accepted-p50",
  "order/target-to-accepted-p99",
  "feed/limit",
  "feed/first-bars",
  "feed/bar-time",
  "feed/bar-over-limit",
  "feed/cpu-platform",
  "feed/cpu-runners",
];

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
    names: [
      "window",
      "derive-batch",
      "derive-step",
      "fold-batch",
      "fold-step",
      "nan-skip-step",
    ].map((row) => `engine/functions/${row}`),
    run: engineFunctionsBench,
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
    names: [
      "account-start/whole-journal",
      "account-start/from-snapshot",
      "account-start/after-kill",
    ],
    run: accountStartBench,
  },
  {
    names: [
      "submit/rate",
      "submit/statements",
      "submit/cpu",
      "submit/commits",
      "submit/ack-p95",
      "submit/completed-p95",
    ],
    run: submissionsBench,
  },
  { names: [...worldRows, "feed/statements"], run: promotedWorldBench },
  {
    names: [
      "one-bar-time",
      "row-time",
      "over-one",
      "cpu-platform",
      "cpu-runners",
      "statements",
    ].map((row) => `four-feeds/${row}`),
    run: fourFeedsBench,
  },
  {
    names: ["limit", "bar-time", "bar-over-limit", "cpu-platform", "cpu-runners"].map(
      (row) => `catch-up/${row}`,
    ),
    run: catchUpBench,
  },
  { names: ["apply/one-of-three-refused"], run: refusedApplyBench },
  {
    names: [
      ...["bar-time", "cpu-platform", "cpu-runners", "memory-runners", "evaluations"].map(
        (row) => `twenty/${row}`,
      ),
      ...[
        ...["bar-time", "cpu-platform", "cpu-runner", "memory"],
        ...["evaluations", "cpu", "cpu-in-all", "memory-ratio"],
      ].map((row) => `worker/${row}`),
    ],
    run: sharedNodesBench,
  },
  {
    names: ["runner-memory/queues", "runner-memory/kept", "runner-memory/growth"],
    run: runnerMemoryBench,
  },
  {
    names: worldRows.map((row) => `distributed/${row}`),
    run: distributedWorldBench,
    whyNot: whyNoServers,
  },
  {
    names: ["rate", "cpu", "ack-p95", "completed-p95"].map((row) => `distributed/submit/${row}`),
    run: distributedSubmissionsBench,
    whyNot: whyNoServers,
  },
];
