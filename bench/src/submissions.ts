import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ColumnKind } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { SubmissionState } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { jcs, nodeId, nodeIdsCrc32, parseNodeId } from "@qmtl/core/canonical";
import type { Connection } from "@qmtl/sdk/rpc";
import { type OpenPlatform, openDistributed, openEmbedded } from "./bench-platform.ts";
import type { BenchRow } from "./bench-row.ts";
import { durableCommitMs } from "./durable-commit.ts";
import { stopwatchMs } from "./engine-stopwatch.ts";
import { limitRow, referenceRow } from "./limit-row.ts";
import { quantile } from "./samples.ts";

export interface SubmissionsOptions {
  /** Strategies submitted, after some to warm up. @default 80 */
  submissions?: number;
}

const warmUps = 16;
const inFlight = 4;
const nodesEach = 10;

/**
 * Strategies of ten nodes, two of them new each time, submitted to one world four at a time through the gateway of
 * `qmtl up`: until acknowledged (durable), and until completed (bound, compared with the graph, queues assigned).
 * Statements are all that the platform gave its database meanwhile.
 */
export async function submissionsBench(options: SubmissionsOptions = {}): Promise<BenchRow[]> {
  const { submissions = 80 } = options;
  const commitMs = await durableCommitMs(100);
  const { eachMs, ackMs, doneMs, statements, cpuMs } = await measured(openEmbedded, submissions);
  const count = ackMs.length;
  return [
    referenceRow("submit/rate", 1e3 / eachMs, "completed/s", count),
    limitRow("submit/statements", statements / count, "per submission", count, 10),
    referenceRow("submit/cpu", cpuMs / count, "ms per submission", count),
    limitRow("submit/commits", eachMs / commitMs, "× durable commit", count, 20),
    limitRow("submit/ack-p95", quantile(ackMs, 0.95), "ms", count, 150),
    limitRow("submit/completed-p95", quantile(doneMs, 0.95), "ms", count, 500),
  ];
}

/** The same with three service processes on PostgreSQL and Kafka. */
export async function distributedSubmissionsBench(
  options: SubmissionsOptions = {},
): Promise<BenchRow[]> {
  const { submissions = 80 } = options;
  const { eachMs, ackMs, doneMs, cpuMs } = await measured(openDistributed, submissions);
  const count = ackMs.length;
  return [
    referenceRow("distributed/submit/rate", 1e3 / eachMs, "completed/s", count),
    referenceRow("distributed/submit/cpu", cpuMs / count, "ms per submission", count),
    limitRow("distributed/submit/ack-p95", quantile(ackMs, 0.95), "ms", count, 150),
    limitRow("distributed/submit/completed-p95", quantile(doneMs, 0.95), "ms", count, 500),
  ];
}

async function measured(open: OpenPlatform, submissions: number) {
  await using platform = await open("");
  await using connection = platform.connect();
  await connection
    .client(WorldService)
    .createWorld({ world: { worldId: "bench", clock: WorldClock.WALL }, requestId: "bench" });
  await submitAll(connection, 0, warmUps);
  const before = await platform.used();
  const start = stopwatchMs();
  const times = await submitAll(connection, warmUps, submissions);
  const eachMs = (stopwatchMs() - start) / submissions;
  const after = await platform.used();
  return {
    ...{ ...times, eachMs, cpuMs: after.cpuMs - before.cpuMs },
    statements: after.statements - before.statements,
  };
}

async function submitAll(
  connection: Connection,
  first: number,
  count: number,
): Promise<{ ackMs: number[]; doneMs: number[] }> {
  const gateway = connection.client(GatewayService);
  const ackMs: number[] = [];
  const doneMs: number[] = [];
  let next = first;
  const lane = async (): Promise<void> => {
    while (next < first + count) {
      const request = submissionOf(next);
      next += 1;
      const start = stopwatchMs();
      const { submission } = await gateway.submitStrategy(request);
      ackMs.push(stopwatchMs() - start);
      const submissionId = submission?.submissionId ?? "";
      let state: SubmissionState = SubmissionState.UNSPECIFIED;
      for await (const now of gateway.watchSubmission({ submissionId }))
        state = now.submission?.state ?? SubmissionState.UNSPECIFIED;
      if (state !== SubmissionState.COMPLETED)
        throw new Error(`submission ${submissionId} is ${state}`);
      doneMs.push(stopwatchMs() - start);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return { ackMs, doneMs };
}

interface WireNode {
  readonly nodeId: string;
  readonly nodeType: string;
  readonly intervalSeconds: bigint;
  readonly period: number;
  readonly paramsJson: string;
  readonly inputs: { port: string; nodeId: string }[];
  readonly schemaCompatId: string;
  readonly codeHash: string;
  readonly name: string;
  readonly columns: { name: string; kind: ColumnKind }[];
}

function wireNode(type: string, inputs: readonly WireNode[], params: object): WireNode {
  const ports = inputs.map((input, at) => ({ port: `in${at}`, nodeId: input.nodeId }));
  const id = nodeId({
    node_type: type,
    interval_seconds: 60,
    period: 1,
    params,
    inputs: ports.map((input) => ({ port: input.port, node_id: parseNodeId(input.nodeId) })),
    schema_compat_id: "f64:value",
    code_hash: "bench:1",
  });
  return {
    nodeId: id,
    nodeType: type,
    intervalSeconds: 60n,
    period: 1,
    paramsJson: jcs(params),
    inputs: ports,
    schemaCompatId: "f64:value",
    codeHash: "bench:1",
    name: type,
    columns: [{ name: "value", kind: ColumnKind.F64 }],
  };
}

/** A chain: the source and seven nodes that every strategy has, then two of its own. */
function submissionOf(number: number) {
  const nodes = [wireNode("StreamInput", [], {})];
  for (let at = 1; at < nodesEach; at++) {
    const params = at < nodesEach - 2 ? { at } : { at, number };
    nodes.push(wireNode("sma", [nodes.at(-1)!], params));
  }
  return {
    requestId: `bench-${number}`,
    strategyName: `bench-${number}`,
    graph: { nodes, nodeIdsCrc32: nodeIdsCrc32(nodes.map((node) => node.nodeId)) },
    worldIds: ["bench"],
    asOf: "bench",
  };
}
