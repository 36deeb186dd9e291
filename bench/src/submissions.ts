import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ColumnKind } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { SubmissionState } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { jcs, nodeId, nodeIdsCrc32, parseNodeId } from "@qmtl/core/canonical";
import type { Connection } from "@qmtl/sdk/rpc";
import { startStack } from "../../e2e/src/harness/start-stack.ts";
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
 * Strategies of ten nodes, two of them new each time, submitted to one world four at a time through the gateway of the
 * real platform: until acknowledged (durable), and until completed (bound, compared with the graph, queues assigned).
 */
export async function submissionsBench(options: SubmissionsOptions = {}): Promise<BenchRow[]> {
  const { submissions = 80 } = options;
  const commitMs = await durableCommitMs(100);
  await using stack = await startStack({ execArgv: [] });
  await stack.qmtl("world", "create", "bench");
  await using connection = stack.connect();
  await submitAll(connection, 0, warmUps);
  const start = stopwatchMs();
  const { ackMs, doneMs } = await submitAll(connection, warmUps, submissions);
  const each = (stopwatchMs() - start) / submissions;
  const count = ackMs.length;
  return [
    referenceRow("submit/rate", 1e3 / each, "completed/s", count),
    limitRow("submit/commits", each / commitMs, "× durable commit", count, 20),
    limitRow("submit/ack-p95", quantile(ackMs, 0.95), "ms", count, 150),
    limitRow("submit/completed-p95", quantile(doneMs, 0.95), "ms", count, 500),
  ];
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
